"""Fitting of adapters, on maps that are known."""

from __future__ import annotations

import torch

from recipes.adapters.examples import Frames
from recipes.adapters.objective import AdapterObjective, closed_form
from vocoder.mel.config import preset
from vocoder.models.adapter import AdapterConfig, AdapterModel


@torch.no_grad()
def error_of(model: AdapterModel, data: Frames) -> float:
    objective = AdapterObjective(model, preset("nvidia"), data, ridge=0.0)
    return float(objective.validate({"windows": data.windows, "frames": data.frames})["score"])


def known_map(count: int = 2000, curved: bool = False) -> Frames:
    generator = torch.Generator().manual_seed(1)
    windows = -4.0 + 2.0 * torch.randn(count, 2, 80, generator=generator)
    frames = 0.7 * windows[:, 0] + 0.3 * windows[:, 1] + torch.linspace(0, 1, 80)
    return Frames(windows, (frames + 0.5 * windows[:, 0].sin() if curved else frames).clamp_min(-11.5))


def model_of(*hidden: int) -> AdapterModel:
    torch.manual_seed(2)
    return AdapterModel(AdapterConfig(before=1, after=0, hidden=hidden))


def test_a_linear_map_is_found_in_closed_form() -> None:
    data, model = known_map(), model_of()
    closed_form(model, data, ridge=1e-8)
    assert error_of(model, data) < 2e-3
    unseen = known_map(100)
    torch.testing.assert_close(model(unseen.windows), unseen.frames, atol=2e-2, rtol=0)


def test_training_starts_from_the_closed_form_and_gains_where_it_is_curved() -> None:
    data = known_map(curved=True)
    linear, objective = model_of(), AdapterObjective(model_of(64), preset("nvidia"), data, ridge=1e-6)
    closed_form(linear, data, ridge=1e-6)
    with torch.no_grad():
        objective.initialise([])
    torch.testing.assert_close(objective.model(data.windows[:9]), linear(data.windows[:9]))
    optimiser = torch.optim.Adam(objective.model.parameters(), lr=2e-3)
    for step in range(200):
        chosen = slice(100 * (step % 20), 100 * (step % 20) + 100)
        outcome = objective.loss("model", {"windows": data.windows[chosen], "frames": data.frames[chosen]}, step)
        assert outcome is not None
        optimiser.zero_grad()
        outcome[0].backward()
        optimiser.step()
    assert error_of(objective.model, data) < 0.9 * error_of(linear, data)
    assert [phase.name for phase in objective.phases()] == ["model"]
    assert AdapterObjective(linear, preset("nvidia"), data, ridge=1e-6).phases() == ()
