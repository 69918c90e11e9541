from __future__ import annotations

import pytest
import torch
from torch import nn

from training.loop.ema import ExponentialMovingAverage


def set_weight(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        module.weight.fill_(value)


def test_average_follows_the_recursion_with_a_growing_decay():
    module = nn.Linear(2, 1, bias=False)
    set_weight(module, 1.0)
    ema = ExponentialMovingAverage(module, decay=0.2)
    expected = 1.0
    for update, value in enumerate([3.0, -2.0, 5.0, 0.5]):
        set_weight(module, value)
        ema.update()
        decay = min(0.2, (1 + update) / (10 + update))  # 0.1, 0.18, 0.2, 0.2
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(ema.averages["weight"], torch.full((1, 2), expected))
    assert ema.updates == 4


def test_applied_swaps_and_restores_every_bit():
    module = nn.Linear(3, 3)
    ema = ExponentialMovingAverage(module, decay=0.5)
    set_weight(module, 7.0)
    ema.update()
    before = module.weight.detach().clone()
    with ema.applied():
        assert torch.equal(module.weight, ema.averages["weight"])
    assert torch.equal(module.weight, before)


def test_averages_are_float32_for_half_precision_parameters():
    module = nn.Linear(1, 1, bias=False).bfloat16()
    set_weight(module, 0.0)
    ema = ExponentialMovingAverage(module, decay=0.999)
    set_weight(module, 1.0)
    ema.update()
    assert ema.averages["weight"].dtype == torch.float32
    assert float(ema.averages["weight"]) == pytest.approx(0.9)


def test_average_of_another_model_is_refused():
    ema = ExponentialMovingAverage(nn.Linear(2, 1), decay=0.9)
    with pytest.raises(ValueError, match="does not fit the model: weight"):
        ema.load({"weight": torch.zeros(3, 3), "bias": torch.zeros(1)}, updates=1)
