"""Teachers that were trained elsewhere are distilled from the command line as our own are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from evaluation_corpus import write_corpus

from training.cli import main
from vocoder.checkpoint import load_model, save_model
from vocoder.layers.conditioning import UpsamplingConfig
from vocoder.layers.stack import PublishedStackConfig
from vocoder.loading import load
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.published_config import PublishedWaveNetConfig
from vocoder.models.wavenet import WaveNet

STACK = PublishedStackConfig(4, 4, 4, dilations=(1, 2))
WITH_STATISTICS = dataclasses.replace(preset("r9y9"), mean=(-2.0,) * 80, variance=(0.25,) * 80)
TEACHERS: dict[str, tuple[MelConfig, PublishedWaveNetConfig]] = {
    "gaussian": (
        preset("r9y9"),
        PublishedWaveNetConfig(
            stack=STACK, upsampling=UpsamplingConfig("stretched", (4, 4, 4, 4), context=2, bands=1), gain=0.55
        ),
    ),
    "r9y9": (
        WITH_STATISTICS,
        PublishedWaveNetConfig(
            distribution="logistic",
            components=2,
            stack=STACK,
            upsampling=UpsamplingConfig("stretched", (4, 4, 4, 4), context=2, bands=1),
            emphasis=0.85,
            gain=0.55,
        ),
    ),
}


def arguments(tmp_path: Path, kind: str, mel: str) -> list[str]:
    """Write the teacher, a corpus and the settings; return what follows `vocoder-train`."""
    contract, config = TEACHERS[kind]
    teacher = save_model(tmp_path / "teacher", WaveNet(config), contract)
    (tmp_path / "corpus").mkdir()
    stack = {"channels": 4, "dilations": [1, 2], "kernel_size": 2, "causal": True}
    settings = {
        "manifest": str(write_corpus(tmp_path / "corpus")),
        "output": str(tmp_path / "run"),
        "mel": mel,
        "model": {"kind": "samples", "cond_channels": 4, "filter_taps": 64, "stacks": [stack, stack]},
        "losses": {"estimator": "closed" if kind == "gaussian" else "sample"},
        "segments": {"segment_length": 2048, "epoch_length": 4},
        "validation_items": 2,
        "trainer": {"steps": 2, "batch_size": 2, "validation_steps": 2, "initialisation_batches": 2, "device": "cpu"},
    }
    (tmp_path / "distill.yaml").write_text(yaml.safe_dump(settings))
    return ["distill", "--config", str(tmp_path / "distill.yaml"), "--teacher", str(teacher)]


@pytest.mark.parametrize("kind", TEACHERS)
def test_the_student_hears_the_mels_of_its_teacher(tmp_path, capsys, kind):
    assert main(arguments(tmp_path, kind, mel="r9y9")) == 0
    assert "validation after step 2: score" in capsys.readouterr().out
    directory = tmp_path / "run" / "last" / "model"
    assert load_model(directory).mel_config == TEACHERS[kind][0]
    (tmp_path / "teacher" / "model.safetensors").unlink()
    v = load(directory, guard="off")
    x = v.synthesize(MelSpectrogram(v.mel_config).silence()[:, None].repeat(1, 3), seed=1)
    assert x.shape == (3 * 256,)
    assert torch.isfinite(x).all()


def test_a_teacher_of_other_mels_is_refused(tmp_path, capsys):
    assert main(arguments(tmp_path, "r9y9", mel="nvidia")) == 2
    assert "takes mels of preset 'r9y9', the student of 'nvidia'" in capsys.readouterr().err
