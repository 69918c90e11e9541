"""Distillation from the command line with tiny teachers, our own and imported ones."""

import dataclasses
from pathlib import Path

import pytest
import torch
from evaluation_corpus import write_settings

from training.cli import main
from training.commands.distill import CONFIGURATIONS
from training.run_config import load_config
from training.runs.reverse import ReverseRun
from training.runs.student import StudentRun
from vocoder.checkpoint import load_model, save_model
from vocoder.layers.conditioning import UpsamplingConfig
from vocoder.layers.stack.wavenet import PublishedStackConfig, WaveNetConfig
from vocoder.loading import load
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig
from vocoder.models.wavenet import PublishedWaveNetConfig, WaveNet, WaveNetModelConfig

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
STACK = {"channels": 4, "dilations": [1, 2], "kernel_size": 2, "causal": True}
UPSAMPLING = UpsamplingConfig((4, 4, 4, 4), context=2, bands=1)
SIZES = {"stack": PublishedStackConfig(4, 4, 4, dilations=(1, 2)), "upsampling": UPSAMPLING}
FOREIGN = PublishedWaveNetConfig(distribution="logistic", components=2, emphasis=0.85, gain=0.55, **SIZES)
WITH_STATISTICS = dataclasses.replace(preset("r9y9"), mean=(-2.0,) * 80, variance=(0.25,) * 80)
OWN = WaveNetModelConfig(cond_channels=4, stack=WaveNetConfig(4, (1, 2), 2, causal=True))
GAUSSIAN = dataclasses.replace(FOREIGN, distribution="gaussian", components=1, emphasis=0)
TEACHERS = {
    "own": (preset("nvidia"), OWN, "closed"),
    "gaussian": (preset("r9y9"), GAUSSIAN, "closed"),
    "r9y9": (WITH_STATISTICS, FOREIGN, "sample"),
}


def distill(tmp_path, kind="own", *more, mel=None, **changes):
    """Write a teacher, a corpus and settings, then run the command."""
    mel_config, architecture, estimator = TEACHERS[kind]
    save_model(tmp_path / "teacher", WaveNet(architecture), mel_config)
    settings = {
        "mel": mel or mel_config.name,
        "model": {"kind": "samples", "cond_channels": 4, "filter_taps": 64, "stacks": [STACK, STACK]},
        "losses": {"estimator": estimator, "bfloat16": False},
        "segments": {"segment_length": 2048, "epoch_length": 4},
    }
    config = write_settings(tmp_path, **(settings | changes))
    teacher = [] if "--teacher" in "".join(more) else [f"--teacher={tmp_path / 'teacher'}"]
    return main(["distill", "--config", str(config), *teacher, "trainer.steps=2", *more])


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_student_works_without_its_teacher(tmp_path, capsys, kind):
    assert distill(tmp_path, kind) == 0
    assert "validation after step 2: score" in capsys.readouterr().out
    (tmp_path / "teacher" / "model.safetensors").unlink()
    checkpoint = load_model(tmp_path / "run" / "last" / "model")
    assert isinstance(checkpoint.model, Student)
    assert (checkpoint.provenance["teacher"], checkpoint.mel_config) == ("teacher", TEACHERS[kind][0])
    v = load(tmp_path / "run" / "last" / "model", guard="off")
    x = v.synthesize(MelSpectrogram(v.mel_config).silence()[:, None].repeat(1, 3), seed=1)
    assert x.shape == (3 * 256,)
    assert torch.isfinite(x).all()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("model.kind=frames", "estimator"),
        ("--teacher=nowhere", "nowhere"),
        (("losses.kl=0", "--teacher=waveglow"), "--teacher waveglow would not be used: set losses.kl above 0"),
        ("--student=frames", "is for a student over samples, not over frames"),
        ("mel=r9y9", "must be a model that takes mels of preset 'r9y9'"),
    ],
)
def test_invalid_settings_are_rejected_with_a_reason(tmp_path, capsys, more, text):
    assert distill(tmp_path, "own", *([more] if isinstance(more, str) else more)) == 2
    assert text in capsys.readouterr().err


def test_each_kind_of_student_has_a_configuration(capsys):
    assert load_config(ReverseRun, CONFIGS / CONFIGURATIONS["reverse"]).teacher == "waveglow"
    for kind in ("samples", "frames"):
        config = load_config(StudentRun, CONFIGS / CONFIGURATIONS[kind])
        assert config.model.kind == kind
        assert sum(p.numel() for p in Student(config.model).parameters()) < 12_000_000  # 24 MB in float16
    assert main(["distill"]) != 0
    assert "--student samples|frames|reverse" in capsys.readouterr().err


def test_a_reverse_model_is_distilled_from_a_waveglow(tmp_path, capsys):
    flow = WaveGlowConfig(flows=2, cond_channels=4, stack=WaveNetConfig(channels=4, dilations=(1,)), corrections=1)
    save_model(tmp_path / "flow", WaveGlow(flow), preset("nvidia"))
    changes = {
        "model": {"cond_channels": 4, "channels": 8, "hidden": 8, "blocks": 2, "kernel_size": 3, "corrections": 1},
        "losses": {"corrections": 1, "samples_from": 1, "adversarial": 0, "bfloat16": False},
    }
    assert distill(tmp_path, "own", f"--teacher={tmp_path / 'flow'}", **changes) == 0  # known by its configuration
    assert "validation after step 2: score" in capsys.readouterr().out
    checkpoint = load_model(tmp_path / "run" / "last" / "model")
    assert isinstance(checkpoint.model, Reverse)
    assert checkpoint.provenance["teacher"] == "flow"
