"""A distillation from the command line, with a teacher of a few weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from evaluation_corpus import write_corpus

from training.cli import main
from training.commands.distill import CONFIGURATIONS
from training.run_config import load_config
from training.runs.corpus_run import load_run
from training.runs.reverse import ReverseRun
from training.runs.student import StudentRun
from vocoder.checkpoint import load_model, save_model
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
STACK = {"channels": 4, "dilations": [1, 2], "kernel_size": 2, "causal": True}


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    stack = WaveNetConfig(channels=4, dilations=(1, 2), kernel_size=2, causal=True)
    return save_model(tmp_path / "teacher", WaveNet(WaveNetModelConfig(cond_channels=4, stack=stack)), preset("nvidia"))


def settings(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    config = {
        "manifest": str(write_corpus(corpus)),
        "output": str(tmp_path / "run"),
        "model": {"kind": "samples", "cond_channels": 4, "filter_taps": 64, "stacks": [STACK, STACK]},
        "losses": {"estimator": "closed", "bfloat16": False},
        "segments": {"segment_length": 2048, "epoch_length": 4},
        "validation_items": 2,
        "trainer": {"steps": 2, "batch_size": 2, "validation_steps": 2, "initialisation_batches": 2, "device": "cpu"},
    }
    (tmp_path / "distill.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "distill.yaml"


def test_a_run_leaves_a_student_that_works_without_its_teacher(tmp_path, teacher, capsys):
    arguments = ["distill", "--config", str(settings(tmp_path)), "--teacher", str(teacher)]
    assert main(arguments) == 0
    assert "validation after step 2: score" in capsys.readouterr().out
    (teacher / "model.safetensors").unlink()
    checkpoint = load_model(tmp_path / "run" / "last" / "model")
    assert isinstance(checkpoint.model, Student)
    assert checkpoint.provenance["teacher"] == "teacher"
    mel = torch.full((1, 80, 3), -5.0)
    draw = checkpoint.model.draw(torch.randn(checkpoint.model.noise_shape(1, 3)), mel)
    assert draw.x.shape == (1, 768)
    assert torch.isfinite(draw.log_prob).all()


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("model.kind=frames", "estimator"),
        ("model.hop_length=512", "model.hop_length is 512 instead of 256"),
        ("teacher=nowhere", "nowhere"),
    ],
)
def test_runs_that_cannot_be_say_why(tmp_path, teacher, capsys, override, text):
    arguments = ["distill", "--config", str(settings(tmp_path)), *override.split()]
    teacher_given = [] if override.startswith("teacher") else ["--teacher", str(teacher)]
    assert main([*arguments, *teacher_given]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("name", ["student.yaml", "student-frames.yaml"])
def test_configurations_of_the_project_are_valid(name):
    config = load_config(StudentRun, CONFIGS / name)
    student = Student(config.model)
    assert sum(parameter.numel() for parameter in student.parameters()) < 12_000_000  # 24 MB in halves


def test_each_kind_of_student_has_its_configuration():
    assert load_run(ReverseRun, CONFIGS / CONFIGURATIONS["reverse"]).teacher == "waveglow"
    for kind in ("samples", "frames"):
        assert load_run(StudentRun, CONFIGS / CONFIGURATIONS[kind]).model.kind == kind


def test_a_student_of_another_kind_than_its_configuration_is_refused(tmp_path, teacher, capsys):
    arguments = ["distill", "--student", "frames", "--config", str(settings(tmp_path)), "--teacher", str(teacher)]
    assert main(arguments) != 0
    assert "is of a student over samples, not over frames" in capsys.readouterr().err


def test_a_run_needs_a_kind_or_a_configuration(capsys):
    assert main(["distill"]) != 0
    assert "--student samples|frames|reverse" in capsys.readouterr().err


def test_a_way_back_is_learnt_from_a_waveglow(tmp_path, capsys):
    flow = WaveGlowConfig(flows=2, cond_channels=4, stack=WaveNetConfig(channels=4, dilations=(1,)), corrections=1)
    teacher = save_model(tmp_path / "flow", WaveGlow(flow), preset("nvidia"))
    config = yaml.safe_load(settings(tmp_path).read_text()) | {
        "model": {"cond_channels": 4, "channels": 8, "hidden": 8, "blocks": 2, "kernel_size": 3, "corrections": 1},
        "losses": {"corrections": 1, "samples_from": 1, "adversarial": 0, "bfloat16": False},
    }
    (tmp_path / "reverse.yaml").write_text(yaml.safe_dump(config))
    file = str(tmp_path / "reverse.yaml")
    assert main(["distill", "--student", "reverse", "--config", file, "--teacher", str(teacher)]) == 0
    assert "validation after step 2: score" in capsys.readouterr().out
    checkpoint = load_model(tmp_path / "run" / "last" / "model")
    assert isinstance(checkpoint.model, Reverse)
    assert checkpoint.provenance["teacher"] == "flow"
