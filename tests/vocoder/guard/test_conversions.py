"""Conversions undo what other conventions do, exactly, and know their own log-determinants."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from vocoder.guard.conversions import Conversion, conversions, identity
from vocoder.mel.config import preset
from vocoder.mel.convert import convert

MEAN, DEVIATION = torch.linspace(-6.0, -4.0, 80), torch.linspace(1.0, 2.0, 80)


def found(cause: str, index: int = 0) -> Conversion:
    return [conversion for conversion in conversions() if conversion.cause == cause][index]


@pytest.fixture
def mel() -> Tensor:
    """Natural logarithms, none of which another convention raises to its floor."""
    return -9.0 + 9.0 * torch.rand(80, 7, generator=torch.Generator().manual_seed(1))


def written(mel: Tensor, **changes: object) -> Tensor:
    config = preset("nvidia")
    return convert(mel, config, dataclasses.replace(config, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cause", "index", "changes"),
    [
        ("log10", 0, {"log": "log10"}),
        ("decibels", 0, {"log": "db20"}),
        ("decibels", 1, {"log": "db20", "ref_db": 20.0}),
        ("normalised", 0, {"log": "db20", "ref_db": 20.0, "range_db": 100.0}),
        ("statistics", 0, {"mean": tuple(MEAN.tolist()), "variance": tuple(DEVIATION.square().tolist())}),
    ],
)
def test_a_conversion_undoes_what_the_contract_does(
    mel: Tensor, cause: str, index: int, changes: dict[str, object]
) -> None:
    back = found(cause, index).back(written(mel, **changes), MEAN, DEVIATION)
    torch.testing.assert_close(back, mel, atol=2e-5, rtol=0.0)


def test_the_rest_undo_what_their_words_say(mel: Tensor) -> None:
    unit = written(mel, log="db20", ref_db=20.0, range_db=100.0)
    decibels_of_power = 10.0 * torch.log10(mel.exp())
    for cause, index, y in (
        ("symmetric", 0, 8.0 * unit - 4.0),
        ("negated", 0, -mel),
        ("no-logarithm", 0, mel.exp()),
        ("upside-down", 0, mel.flip(0)),
        ("decibels", 2, decibels_of_power),
    ):
        torch.testing.assert_close(found(cause, index).back(y, MEAN, DEVIATION), mel, atol=2e-5, rtol=0.0)
    square = mel.repeat(1, 12)[:, :80]
    torch.testing.assert_close(found("transposed").back(square.T, MEAN, DEVIATION), square)
    assert bool((found("transposed").back(mel, MEAN, DEVIATION) == math.log(1e-5)).all())


@pytest.mark.parametrize("conversion", [identity(), *conversions()], ids=lambda c: c.words)
def test_log_determinants_are_those_of_autograd(conversion: Conversion) -> None:
    y = (0.2 + 0.6 * torch.rand(4, 4, generator=torch.Generator().manual_seed(2))).double()
    mean, deviation = MEAN[:4].double(), DEVIATION[:4].double()
    matrix = torch.autograd.functional.jacobian(lambda v: conversion.back(v, mean, deviation), y).reshape(16, 16)
    expected = float(torch.linalg.slogdet(matrix)[1]) / 16
    x = conversion.back(y, mean, deviation)
    assert conversion.log_det(x, deviation) == pytest.approx(expected, abs=1e-9)


def test_values_that_a_convention_cannot_hold_refute_it() -> None:
    low, high = torch.full((80, 3), -2.0), torch.full((80, 3), 7.0)
    refuted = {c.words for c in (identity(), *conversions()) if c.refuted(low)}
    assert refuted == {"decibels mapped from -100..0 to 0..1", "without a logarithm"}
    assert identity().refuted(high)
    assert not found("negated").refuted(high)
