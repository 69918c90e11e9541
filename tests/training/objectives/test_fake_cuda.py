"""The losses of each objective on a pretended GPU: shapes and devices are real, numbers are not.

Their gradients are not computed: autograd's engine asks the driver for a context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tiny_reverse
import tiny_waveglow
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from training.loop.objective import Objective

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


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "waveglow": tiny_waveglow.objective,
    "published waveglow": lambda: tiny_waveglow.objective(tiny_waveglow.GROUPING),
    "reverse": tiny_reverse.objective,
}


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that there is a GPU; critics see the first part of a segment, since nothing is drawn."""
    monkeypatch.setattr(Tensor, "__int__", lambda _: 0)
    monkeypatch.setattr(nn.Module, "_apply", replaced)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_losses_of_every_phase_stay_on_the_device(name: str) -> None:
    batch = {"x": torch.empty(2, tiny_waveglow.LENGTH + 2 * tiny_waveglow.MARGIN, device=CUDA)}
    objective: Any = OBJECTIVES[name]().to(CUDA).train()
    for phase in objective.phases():
        loss, parts = objective.loss(phase.name, batch, STEP)
        assert {value.device for value in (loss, *parts.values())} == {CUDA}
