"""ClariNet's teacher and student, against a slow reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_arithmetic import clarinet_condition, clarinet_network, clarinet_student_audio, generated, plain
from foreign_files import clarinet_student_state, clarinet_teacher_state, respelt, save
from torch import Tensor

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.importers.importing import import_model
from vocoder.loading import load
from vocoder.mel.config import preset
from vocoder.models.published_student import PublishedStudent
from vocoder.models.wavenet import WaveNet

CYCLE = 2


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"num_layers": CYCLE}))
    return path


def teacher(tmp_path: Path, config: Path, state: Any) -> WaveNet:
    file = save(tmp_path / "checkpoint_step000700000_ema.pth", state)
    import_model("clarinet-teacher", file, tmp_path / "teacher", config=config)
    model = load_model(tmp_path / "teacher").model
    assert isinstance(model, WaveNet)
    return model


def student(tmp_path: Path, config: Path, state: Any, teacher_state: Any) -> PublishedStudent:
    file, lead = save(tmp_path / "student.pth", state), save(tmp_path / "teacher.pth", teacher_state)
    import_model("clarinet-student", file, tmp_path / "student", config=config, teacher=lead)
    model = load_model(tmp_path / "student").model
    assert isinstance(model, PublishedStudent)
    return model


def test_the_teacher_speaks_as_the_original(tmp_path, config):
    state = clarinet_teacher_state()
    model = teacher(tmp_path, config, state)
    mel, z = torch.rand(2, 80, 1), torch.randn(2, 1, 256)

    def sample(out: Tensor, t: int) -> tuple[Tensor, Tensor]:
        x = (out[:, 0] + out[:, 1].exp() * z[:, 0, t]).clamp(-1, 1)
        return x, x[:, None]

    network, cond = clarinet_network(plain(state), "", 4, CYCLE, 2), clarinet_condition(plain(state), mel)
    expected = generated(network, cond, sample, torch.zeros(2, 1))
    x, _ = model.inverse(z, mel)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-4)
    assert float(x.std()) > 0.02
    assert 0 < int((x.abs() == 1).sum()) < 400  # loud enough for what the original clamps before it is heard again


def test_the_density_of_audio_is_that_of_the_original(tmp_path, config):
    state = clarinet_teacher_state()
    model = teacher(tmp_path, config, state)
    mel, x = torch.rand(2, 80, 3), 0.3 * torch.randn(2, 768)
    heard = torch.nn.functional.pad(x[:, :-1], (1, 0))[:, None]
    out = clarinet_network(plain(state), "", 4, CYCLE, 2)(heard, clarinet_condition(plain(state), mel))
    expected = torch.distributions.Normal(out[:, 0], out[:, 1].exp()).log_prob(x).sum(1)
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(x, mel) / 768, expected / 768, rtol=0, atol=1e-4)


def test_the_student_speaks_as_the_original(tmp_path, config):
    state, lead = clarinet_student_state(), clarinet_teacher_state()
    model = student(tmp_path, config, state, lead)
    mel, z = torch.rand(2, 80, 3), torch.randn(2, 1, 768)
    expected = clarinet_student_audio(plain(state), z, clarinet_condition(plain(lead), mel), 3, 2, CYCLE)
    with torch.no_grad():
        x, log_det = model.inverse(z, mel)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-4)
    assert float(x.std()) > 0.03
    again, back = model(x[:, :300], mel[:, :, :2])
    torch.testing.assert_close(again[:, :, 1:], z[:, :, 1:300], rtol=0, atol=1e-2)
    assert torch.isfinite(log_det + back).all()


@pytest.mark.parametrize("form", ["folded", "parametrizations", "module."])
def test_every_spelling_gives_the_same_weights(tmp_path, config, form):
    state, lead = clarinet_student_state(), clarinet_teacher_state()
    (tmp_path / "other").mkdir()
    ours = student(tmp_path, config, state, lead).state_dict()
    again = student(tmp_path / "other", config, respelt(state, form), respelt(lead, form)).state_dict()
    assert set(ours) == set(again)
    for name, value in ours.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=1e-6)


def test_both_hear_the_mels_of_the_original_and_say_where_they_come_from(tmp_path, config):
    student(tmp_path, config, clarinet_student_state(), clarinet_teacher_state())
    teacher(tmp_path, config, clarinet_teacher_state())
    heard = [load_model(tmp_path / name) for name in ("teacher", "student")]
    assert [checkpoint.mel_config for checkpoint in heard] == [preset("clarinet")] * 2
    origin = heard[1].provenance["imported"]
    assert (origin["layout"], origin["file"], origin["step"]) == ("clarinet-student", "student.pth", 7)
    assert origin["teacher"]["file"] == "teacher.pth"
    assert len(origin["teacher"]["sha256"]) == 64


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_both_synthesize_and_stream(tmp_path, config, kind):
    if kind == "teacher":
        teacher(tmp_path, config, clarinet_teacher_state())
    else:
        student(tmp_path, config, clarinet_student_state(), clarinet_teacher_state())
    v = load(tmp_path / kind, dtype=torch.float32)
    mel = torch.rand(80, 5)
    x = v.synthesize(mel, seed=5)
    assert x.shape == (5 * 256,)
    pieces = list(v.stream(iter(mel.T), seed=5, chunk_frames=1))
    assert len(pieces) > 4
    torch.testing.assert_close(torch.cat(pieces), x, rtol=0, atol=1e-5)


def test_a_long_mel_in_parts_is_the_whole(tmp_path, config, monkeypatch):
    student(tmp_path, config, clarinet_student_state(), clarinet_teacher_state())
    v = load(tmp_path / "student", dtype=torch.float32)
    mel = torch.rand(2, 80, 12)
    x = v.synthesize(mel, seed=1)
    monkeypatch.setattr("vocoder.speaker.WHOLE_FRAMES", 4)
    monkeypatch.setattr("vocoder.speaker.PART_FRAMES", 10)
    monkeypatch.setattr("vocoder.speaker.LEAST_PART_FRAMES", 5)
    torch.testing.assert_close(v.synthesize(mel, seed=1), x, rtol=0, atol=1e-5)


def test_dilations_that_are_taken_for_granted_are_named(tmp_path):
    state = clarinet_teacher_state(layers=10)
    made = import_model("clarinet-teacher", save(tmp_path / "a.pth", state), tmp_path / "teacher")
    assert any("repeat every 10 layers" in note for note in made.notes)
    assert made.model.config.stack.dilations == tuple(2**i for i in range(10))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("num_blocks", 3, 2),
        ("residual_channels", 128, 8),
        ("gate_channels", 256, 12),
        ("skip_channels", 128, 10),
        ("kernel_size", 3, 2),
        ("cin_channels", 100, 80),
    ],
)
def test_options_that_contradict_the_weights_are_refused(tmp_path, name, value, found):
    (tmp_path / "config.json").write_text(json.dumps({"num_layers": CYCLE, name: value}))
    with pytest.raises(CheckpointError, match=f"{name} is {value} in the configuration, but {found} in the weights"):
        teacher(tmp_path, tmp_path / "config.json", clarinet_teacher_state())


def test_layers_that_do_not_repeat_ask_for_the_number(tmp_path):
    with pytest.raises(CheckpointError, match="the 4 layers of the network do not repeat every 10: give num_layers"):
        import_model("clarinet-teacher", save(tmp_path / "a.pth", clarinet_teacher_state()), tmp_path / "teacher")


def test_a_student_needs_its_teacher(tmp_path):
    with pytest.raises(CheckpointError, match="give its file with --teacher"):
        import_model("clarinet-student", save(tmp_path / "a.pth", clarinet_student_state()), tmp_path / "student")


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_one_is_not_taken_for_the_other(tmp_path, config, kind):
    wrong = clarinet_student_state() if kind == "teacher" else clarinet_teacher_state()
    lead = save(tmp_path / "lead.pth", clarinet_teacher_state())
    with pytest.raises(CheckpointError, match=f"no weights of the layout clarinet-{kind}"):
        import_model(f"clarinet-{kind}", save(tmp_path / "a.pth", wrong), tmp_path / "x", config=config, teacher=lead)


def test_what_is_missing_unknown_or_misshapen_is_listed(tmp_path, config):
    state, lead = clarinet_student_state(), clarinet_teacher_state()
    del state["iafs.1.res_blocks.0.res_conv.bias"]
    state |= {"iafs.0.extra": torch.zeros(1), "iafs.2.final_conv.1.conv.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError) as caught:
        student(tmp_path, config, state, lead)
    text = str(caught.value)
    assert "missing: iafs.1.res_blocks.0.res_conv.bias" in text
    assert "unknown: iafs.0.extra" in text
    assert "iafs.2.final_conv.1.conv.bias (3,) instead of (10,)" in text
    assert not (tmp_path / "student").exists()
