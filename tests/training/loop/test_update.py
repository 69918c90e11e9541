"""A batch in parts trains as the batch at once, and what is forgotten is computed again to the same gradients."""

from __future__ import annotations

import pytest
import torch
from tiny_waveglow import GROUPING, LAPPED, stirred
from torch import Tensor
from toy_training import differences, saved_run, seeded_toy, toy_config, toy_trainer

from vocoder.config import ConfigError
from vocoder.layers.stack import set_recompute


@pytest.mark.parametrize("accumulation", [2, 4])
def test_parts_train_as_the_whole_batch_does(tmp_path, accumulation):
    runs = []
    for parts in (1, accumulation):
        directory = tmp_path / str(parts)
        result = toy_trainer(directory, toy_config(accumulation=parts, clip_norm=0.5), seeded_toy()).fit()
        assert (result.step, result.nonfinite_steps) == (20, 0)
        runs.append(saved_run(directory))
    whole, parted = runs
    for name, value in whole["objective"].items():
        if name != "last":  # what the toy saw last is a part
            torch.testing.assert_close(parted["objective"][name], value, atol=1e-6, rtol=1e-5)
    assert differences(whole["progress"]["items_in_epoch"], parted["progress"]["items_in_epoch"]) == []


def test_one_part_that_is_no_number_spoils_the_step(tmp_path):
    objective = seeded_toy()
    calls, loss, poisonous = [], objective.loss, ("model", 3, 1)  # the second part

    def poisoned(phase: str, batch: dict[str, Tensor], step: int):
        calls.append((phase, step, calls.count((phase, step, 0))))
        outcome = loss(phase, batch, step)
        return (outcome[0] * float("nan"), outcome[1]) if calls[-1] == poisonous else outcome

    objective.loss = poisoned
    result = toy_trainer(tmp_path, toy_config(accumulation=2, steps=6), objective).fit()
    assert calls.count(poisonous) == 1
    assert result.nonfinite_steps == 1
    assert all(torch.isfinite(value).all() for value in saved_run(tmp_path)["ema"].values())


def test_parts_that_a_batch_does_not_have_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="batch_size 4 must be a multiple of processes times accumulation, 1 x 3"):
        toy_trainer(tmp_path, toy_config(accumulation=3))
    with pytest.raises(ConfigError, match="accumulation must be above 0"):
        toy_config(accumulation=0)


@pytest.mark.parametrize(("config", "direction"), [(LAPPED, "forward"), (GROUPING, "inverse")])
def test_what_is_forgotten_gives_the_same_gradients_and_keeps_less(config, direction):
    model = stirred(config).model
    mel, x = -5 + torch.randn(2, 8, 12), 0.1 * torch.randn(2, 12 * 16)
    z = torch.randn(model.noise_shape(2, 12))

    def gradients() -> tuple[list[Tensor | None], int]:
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            out, log_det = model(x, mel) if direction == "forward" else model.inverse(z, mel)
        loss = out.square().sum() - log_det.sum()
        return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)), sum(kept)

    set_recompute(model, False)
    expected, whole = gradients()
    set_recompute(model, True)
    found, forgetful = gradients()
    assert forgetful < whole
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
