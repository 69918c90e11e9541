"""Fitting of adapters, on maps that are known."""

from __future__ import annotations

import torch

from recipes.adapters.examples import Frames
from recipes.adapters.network import DescentConfig, closed_form, descend, error_of
from vocoder.models.adapter import AdapterConfig, AdapterModel


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


def test_a_large_ridge_leaves_the_mean() -> None:
    data, model = known_map(), model_of()
    closed_form(model, data, ridge=1e6)
    torch.testing.assert_close(model(data.windows[:3]), data.frames.mean(dim=0).expand(3, -1), atol=1e-2, rtol=0)


def test_descent_starts_from_the_closed_form_and_gains_where_it_is_curved() -> None:
    data = known_map(curved=True)
    linear, model = model_of(), model_of(64)
    closed_form(linear, data, ridge=1e-6)
    closed_form(model, data, ridge=1e-6)
    descend(model, data, DescentConfig(epochs=0), seed=0)
    torch.testing.assert_close(model(data.windows[:9]), linear(data.windows[:9]))
    descend(model, data, DescentConfig(epochs=10, batch_size=100), seed=0)
    assert error_of(model, data) < 0.9 * error_of(linear, data)
