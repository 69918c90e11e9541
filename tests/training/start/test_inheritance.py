from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_reverse import CONFIG
from tiny_waveglow import MEL
from torch import nn

from training.start.inheritance import inherit_flows, inherit_pitch, inherit_trunk
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.source.pitch import PitchConfig, PitchNet
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student, StudentConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import SourceConfig, WaveGlowConfig

SOURCE = SourceConfig(f_max=900, pitch=PitchConfig(channels=4, layers=1, bins=5))


def test_a_pitch_network_is_taken_over_where_there_is_one_and_it_fits():
    made, given = frames_student(SOURCE), PitchNet(4, SOURCE.pitch)
    inherit_pitch(made, given)
    assert made.pitch is not given
    for name, value in made.pitch.state_dict().items():
        assert torch.equal(value, given.state_dict()[name])
    with pytest.raises(ConfigError, match="the Student has no harmonic source"):
        inherit_pitch(frames_student(None), PitchNet(4, SOURCE.pitch))
    with pytest.raises(ConfigError, match=r"model\.source\.pitch must be .*'bins': 7"):
        inherit_pitch(frames_student(SOURCE), PitchNet(4, replace(SOURCE.pitch, bins=7)))
    with pytest.raises(ConfigError, match="differ"):
        inherit_pitch(frames_student(SOURCE), PitchNet(3, SOURCE.pitch))


def frames_student(source: SourceConfig | None) -> Student:
    stack = WaveNetConfig(6, (1,), 2, causal=True)
    config = StudentConfig(n_mels=4, hop_length=8, group_size=8, cond_channels=3, stacks=(stack,), source=source)
    return Student(config)


def wide_waveglow() -> WaveGlow:
    """A WaveGlow of two flows over frames with a source, every parameter away from its start."""
    torch.manual_seed(3)
    source = SourceConfig(f_max=900, pitch=PitchConfig(channels=4, layers=1, bins=5))
    stack = WaveNetConfig(6, (1, 2), 3)
    config = WaveGlowConfig(
        n_mels=4, hop_length=8, group_size=8, flows=2, cond_channels=3, stack=stack, source=source, corrections=0
    )
    model = WaveGlow(config).double().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def student_like(model: WaveGlow, **changes: object) -> Student:
    stacks = (replace(model.config.stack, causal=True),) * model.config.flows
    settings = {"n_mels": 4, "hop_length": 8, "group_size": 8, "cond_channels": 3, "stacks": stacks}
    settings |= {"source": model.config.source, "scaled_shift": True} | changes
    return Student(StudentConfig(**settings)).double().requires_grad_(False)  # type: ignore[arg-type]


def test_a_student_with_the_flows_of_a_waveglow_that_looks_at_no_later_frame_is_that_waveglow():
    model = wide_waveglow()
    for coupling in model.couplings:
        for layer in coupling.network.in_layers:  # type: ignore[union-attr]
            layer.weight[:, :, :, 2] = 0.0
    made = student_like(model)
    inherit_flows(made, model)
    noise, mel = torch.randn(2, 8, 12, dtype=torch.float64), torch.randn(2, 4, 12, dtype=torch.float64)
    x, log_det = made.inverse(noise, mel)
    expected, expected_log_det = model.inverse(noise, mel)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_det, expected_log_det, rtol=0, atol=1e-9)
    difference = made.prior(noise, mel) - model.prior(noise, mel)
    torch.testing.assert_close(difference, 1e-3 * noise, rtol=0, atol=1e-9)  # the student's noise has a floor


def test_taps_to_later_frames_are_left_out():
    model = wide_waveglow()
    made = student_like(model)
    inherit_flows(made, model)
    noise, mel = torch.randn(1, 8, 12, dtype=torch.float64), torch.randn(1, 4, 12, dtype=torch.float64)
    changed = noise.clone()
    changed[:, :, 8:] += 1.0
    difference = made.inverse(changed, mel)[0] - made.inverse(noise, mel)[0]
    assert float(difference[:, : 7 * 8].abs().max()) == 0.0  # blocks of the transform overlap by one
    assert float((made.inverse(noise, mel)[0] - model.inverse(noise, mel)[0]).abs().max()) > 1e-3


def test_flows_must_come_from_a_waveglow_of_the_same_size():
    model = wide_waveglow()
    with pytest.raises(ConfigError, match="not Sequential"):
        inherit_flows(student_like(model), nn.Sequential())
    with pytest.raises(ConfigError, match=r"model\.scaled_shift must be True"):
        inherit_flows(student_like(model, scaled_shift=False), model)


def saved(folder: Path, **changes: Any) -> tuple[Reverse, str]:
    """Return a reverse student, and the directory where it lies."""
    torch.manual_seed(0)
    given = Reverse(replace(CONFIG, **changes)).requires_grad_(False)
    for parameter in given.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return given, str(save_model(folder, given, MEL))


def test_a_trunk_that_looks_less_far_ahead_is_the_same_without_later_taps(tmp_path):
    given, folder = saved(tmp_path, ahead=2)
    made = Reverse(replace(CONFIG, ahead=1))
    inherit_trunk(made, folder)
    for block in given.blocks:
        block.depthwise.weight[:, :, 2] = 0.0  # the taps to the frame after
    x = torch.randn(1, 20, CONFIG.channels)
    first, second = (blocks[0](x) for blocks in (given.blocks, made.blocks))
    assert (made.blocks[0].after, made.blocks[1].after) == (1, 0)
    assert not torch.equal(first, second)  # the first block keeps its taps
    torch.testing.assert_close(given.blocks[1](x), made.blocks[1](x))


def test_another_head_begins_anew_and_the_same_is_taken_over(tmp_path):
    given, folder = saved(tmp_path / "lapped")
    made = Reverse(replace(CONFIG, head=SpectrumHeadConfig(MEL)))
    inherit_trunk(made, folder)
    assert torch.equal(made.start.weight, given.start.weight)
    assert made.head is not None
    assert not made.head.end.bias.any()
    again, folder = saved(tmp_path / "spectral", head=SpectrumHeadConfig(MEL))
    inherit_trunk(made, folder)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())


def test_a_trunk_of_other_settings_is_refused_by_their_names(tmp_path):
    _, folder = saved(tmp_path)
    wider = replace(CONFIG.source, pitch=replace(CONFIG.source.pitch, f0_max=500.0))
    with pytest.raises(ConfigError, match=r"model.source.pitch.f0_max is 550.* there, 500.* here"):
        inherit_trunk(Reverse(replace(CONFIG, source=wider)), folder)
    made = Reverse(replace(CONFIG, source=wider))
    before = made.pitch.output.weight.clone()
    inherit_trunk(made, folder, pitch=False)
    assert torch.equal(made.pitch.output.weight, before)
    with pytest.raises(ConfigError, match="holds a WaveGlow, not a Reverse"):
        inherit_trunk(made, "waveglow")
