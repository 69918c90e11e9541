from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy_training import toy_config

from training.loop.objective import Phase
from training.loop.optimisation import ExponentialMovingAverage, build_optimiser, rate_scale


@pytest.mark.parametrize(
    ("decay", "quarter", "half", "end"),
    [
        ("cosine", 0.2 + 0.8 * 0.5 * (1 + math.sqrt(0.5)), 0.6, 0.2),
        ("linear", 0.8, 0.6, 0.2),
        ("constant", 1.0, 1.0, 1.0),
    ],
)
def test_decay_follows_a_linear_warmup(decay, quarter, half, end):
    config = toy_config(steps=105, warmup_steps=4, decay=decay, final_rate_scale=0.2)
    values = [rate_scale(config, step) for step in (0, 1, 3, 4, 29, 54, 104, 500)]
    assert values == pytest.approx([0.25, 0.5, 1.0, 1.0, quarter, half, end, end])
    assert rate_scale(toy_config(warmup_steps=0), 0) == 1.0


def test_optimiser_decays_kernels_but_not_vectors():
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.bias.fill_(1.0)
    weight = module.weight.detach().clone()
    phase = Phase("model", tuple(module.parameters()), learning_rate_scale=0.5)
    optimiser = build_optimiser(phase, toy_config(learning_rate=0.1, weight_decay=0.5))
    assert {group["lr"] for group in optimiser.param_groups} == {0.05}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(module.weight.detach(), weight * (1 - 0.05 * 0.5))
    assert torch.equal(module.bias.detach(), torch.ones(2))


def set_weight(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        module.weight.fill_(value)


def test_average_follows_the_recursion_with_a_growing_decay():
    module = nn.Linear(2, 1, bias=False).bfloat16()
    set_weight(module, 1.0)
    ema = ExponentialMovingAverage(module, decay=0.2)
    expected = 1.0
    for update, value in enumerate([3.0, -2.0, 5.0, 0.5]):
        set_weight(module, value)
        ema.update()
        decay = min(0.2, (1 + update) / (10 + update))  # 0.1, 0.18, 0.2, 0.2
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(ema.averages["weight"], torch.full((1, 2), expected))
    assert ema.averages["weight"].dtype == torch.float32
    assert ema.updates == 4
    with ema.applied():
        assert torch.equal(module.weight, ema.averages["weight"].bfloat16())
    assert torch.equal(module.weight, torch.full((1, 2), 0.5).bfloat16())


def test_average_of_another_model_is_refused():
    ema = ExponentialMovingAverage(nn.Linear(2, 1), decay=0.9)
    with pytest.raises(ValueError, match="does not fit the model"):
        ema.load({"weight": torch.zeros(3, 3), "bias": torch.zeros(1)}, updates=1)
