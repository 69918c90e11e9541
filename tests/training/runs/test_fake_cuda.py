"""Losses of each objective on a pretended GPU: shapes and devices are real, numbers are not.

A tensor that is left on the CPU meets one on the device and raises, as it would on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_objectives import OBJECTIVES
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from training.loop.objective import Batch
from vocoder.layers.kept import Kept
from vocoder.mel.config import MelConfig

CUDA = torch.device("cuda", 0)
STEP = 1000
"""at which every loss is on"""


def replaced(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Do what `nn.Module._apply` does, which exchanges tensors in place: pretended ones cannot be."""
    for part in module.modules():
        for name, tensor in part._parameters.items():
            if tensor is not None:
                part._parameters[name] = nn.Parameter(change(tensor.detach()), tensor.requires_grad)
        for name, tensor in part._buffers.items():
            if tensor is not None:
                part._buffers[name] = change(tensor)
    return module


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever numbers the code asks for are 0: critics see the first part, and every band ends early."""
    for name, value in (("__int__", 0), ("__float__", 0.0), ("__bool__", False)):
        monkeypatch.setattr(Tensor, name, lambda _, value=value: value)
    monkeypatch.setattr(Kept, "of", lambda _, parameters, make, *further: make())


def batch(mel: MelConfig) -> Batch:
    x = torch.empty(2, mel.n_fft + 128 * mel.hop_length, device=CUDA)
    f0 = torch.full((2, 128), 300.0, device=CUDA)
    return {"x": x, "f0": f0, "band": torch.full((2,), mel.sample_rate / 4, device=CUDA)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_losses_of_every_phase_stay_on_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = OBJECTIVES[name]()
    with FakeTensorMode(allow_non_fake_inputs=True):
        monkeypatch.setattr(nn.Module, "_apply", replaced)
        objective = made.to(CUDA).train()
        for phase in objective.phases():
            loss, parts = objective.loss(phase.name, batch(objective.mel_config), STEP)
            assert {value.device for value in (loss, *parts.values())} == {CUDA}
