"""What a student takes over before it learns: layers of its teacher's stack, and how another model hears pitch."""

from __future__ import annotations

import torch
from torch import nn

from vocoder.config import ConfigError
from vocoder.layers.pitch import PitchNet
from vocoder.layers.wavenet import WaveNetStack
from vocoder.models.student import Student

__all__ = ["inherit_layers", "inherit_pitch"]


@torch.no_grad()
def inherit_layers(student: Student, teacher: nn.Module) -> int:
    """Copy each tensor of the teacher's stack to those of every student stack that agree in name and shape.

    The projections from and to the signal stay as they are: the student's last layers are zero, so that each of its
    flows still starts as the identity, with the teacher's features behind it.

    Returns:
        how many tensors were copied.

    Raises:
        ConfigError: the teacher has no WaveNet stack, or nothing fits.
    """
    stack = next((module for module in teacher.modules() if isinstance(module, WaveNetStack)), None)
    if stack is None:
        raise ConfigError(f"{type(teacher).__name__} has no WaveNet stack to inherit from")
    given = {name: value for name, value in stack.state_dict().items() if name.split(".")[0] not in ("start", "end")}
    copied = 0
    for own in student.modules():
        if isinstance(own, WaveNetStack):
            for name, value in own.state_dict().items():
                if name in given and given[name].shape == value.shape:
                    value.copy_(given[name])
                    copied += 1
    if not copied:
        raise ConfigError(
            f"no layer of the student fits the teacher's: that has {stack.config.channels} channels and kernels of "
            f"{stack.config.kernel_size}; choose the same, or leave inherit off"
        )
    return copied


def inherit_pitch(student: Student, model: nn.Module) -> None:
    """Copy the pitch network of a model, such as a WaveGlow of the same mels, to the student's.

    Raises:
        ConfigError: one of them has none, or they differ in shape.
    """
    own, given = student.pitch, getattr(model, "pitch", None)
    if own is None or not isinstance(given, PitchNet):
        who = "the student" if own is None else type(model).__name__
        raise ConfigError(f"{who} has no harmonic source, so there is no pitch network to inherit")
    if own.config != given.config or _shapes(own) != _shapes(given):
        raise ConfigError("the two pitch networks differ in their configuration or in the bands of their mels")
    own.load_state_dict(given.state_dict())


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}
