from __future__ import annotations

import pytest
import torch
from torch import nn

from training.inheritance import inherit_layers
from vocoder.config import ConfigError
from vocoder.layers.wavenet import WaveNetConfig, WaveNetStack
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig


def student(channels: int = 6) -> Student:
    stacks = (
        WaveNetConfig(channels, (1, 2), 2, causal=True),
        WaveNetConfig(channels, (1, 2, 4), 2, causal=True),
    )
    return Student(StudentConfig(kind="samples", n_mels=4, cond_channels=3, hop_length=8, filter_taps=0, stacks=stacks))


def teacher() -> nn.Module:
    return nn.Sequential(WaveNetStack(3, 2, 3, WaveNetConfig(6, (1, 2, 4), 2, causal=True)))


def test_layers_of_the_same_shape_are_taken_over_and_the_start_stays_the_identity():
    made, source = student().requires_grad_(False), teacher()
    assert inherit_layers(made, source) > 0
    stack = source[0]  # type: ignore[index]
    for step in made.steps:
        assert torch.equal(step.network.in_layers[1].weight, stack.in_layers[1].weight)  # type: ignore[union-attr]
        assert float(step.network.end.weight.abs().max()) == 0.0  # type: ignore[union-attr]
    long = made.steps[1].network
    assert torch.equal(long.cond_layer.weight, stack.cond_layer.weight)  # type: ignore[union-attr]
    assert torch.equal(long.res_skip_layers[2].weight, stack.res_skip_layers[2].weight)  # type: ignore[union-attr]
    noise, mel = torch.randn(made.noise_shape(1, 4)), torch.randn(1, 4, 4)
    assert torch.equal(made.draw(noise, mel).x, noise[:, 0])


def test_refusals():
    with pytest.raises(ConfigError, match="no layer"):
        inherit_layers(student(channels=5), teacher())
    with pytest.raises(ConfigError, match="no WaveNet stack"):
        inherit_layers(student(), nn.Linear(1, 1))
