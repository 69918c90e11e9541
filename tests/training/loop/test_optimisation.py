from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy_training import toy_config

from training.loop.objective import Phase
from training.loop.optimisation import build_optimiser, rate_scale, set_rate


@pytest.mark.parametrize("decay", ["cosine", "linear", "constant"])
def test_warmup_is_linear_and_reaches_one(decay):
    config = toy_config(steps=105, warmup_steps=4, decay=decay)
    assert [rate_scale(config, step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("decay", "quarter", "half", "end"),
    [
        ("cosine", 0.2 + 0.8 * 0.5 * (1 + math.sqrt(0.5)), 0.6, 0.2),
        ("linear", 0.8, 0.6, 0.2),
        ("constant", 1.0, 1.0, 1.0),
    ],
)
def test_decay_after_warmup(decay, quarter, half, end):
    config = toy_config(steps=105, warmup_steps=4, decay=decay, final_rate_scale=0.2)
    values = [rate_scale(config, step) for step in (29, 54, 104, 500)]
    assert values == pytest.approx([quarter, half, end, end])


def test_without_warmup_the_first_step_has_the_full_rate():
    assert rate_scale(toy_config(warmup_steps=0), 0) == 1.0


def test_optimiser_decays_kernels_but_not_vectors():
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.bias.fill_(1.0)
    weight = module.weight.detach().clone()
    phase = Phase("model", tuple(module.parameters()), learning_rate_scale=0.5)
    optimiser = build_optimiser(phase, toy_config(learning_rate=0.1, weight_decay=0.5))
    assert {group["lr"] for group in optimiser.param_groups} == {0.05}
    set_rate(optimiser, 0.2)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(module.weight.detach(), weight * (1 - 0.2 * 0.5))
    assert torch.equal(module.bias.detach(), torch.ones(2))
