"""Encodings undo what other conventions do, exactly, and are found by the mel configs that have them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from vocoder.guard.encodings import encoding_of, encodings
from vocoder.mel.config import PRESETS, preset
from vocoder.mel.convert import convert

NVIDIA = preset("nvidia")
UNIT = {"log": "db20", "ref_db": 20.0, "range_db": 100.0}
CONTRACTS = {
    "ln": {},
    "log10": {"log": "log10"},
    "db20": {"log": "db20"},
    "db20-20": {"log": "db20", "ref_db": 20.0},
    "unit": UNIT,
    "symmetric": {**UNIT, "range_low": -4.0, "range_high": 4.0},
}


@pytest.fixture
def mel() -> Tensor:
    """Natural logarithms, none of which another convention raises to its floor."""
    return -9.0 + 9.0 * torch.rand(80, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "changes"), CONTRACTS.items(), ids=list(CONTRACTS))
def test_an_encoding_undoes_what_the_contract_does(mel: Tensor, name: str, changes: dict[str, object]) -> None:
    config = dataclasses.replace(NVIDIA, **changes)  # type: ignore[arg-type]
    back = encodings()[name].back
    assert back is not None
    torch.testing.assert_close(back(convert(mel, NVIDIA, config)), mel, atol=2e-5, rtol=0.0)
    assert encoding_of(config) == name


@pytest.mark.parametrize("name", ["db10", "negated", "linear", "flipped", "transposed"])
def test_the_rest_undo_what_their_words_say(mel: Tensor, name: str) -> None:
    written = {
        "db10": 10.0 * torch.log10(mel.exp()),
        "negated": -mel,
        "linear": mel.exp(),
        "flipped": mel.flip(0),
        "transposed": mel.T,
    }
    back = encodings()[name].back
    assert back is not None
    torch.testing.assert_close(back(written[name]), mel, atol=2e-5, rtol=0.0)


def test_what_the_mel_does_not_tell_is_not_undone() -> None:
    lost = {name for name, encoding in encodings().items() if encoding.back is None}
    assert lost == {"db-loudest", "statistics"}
    numbers = tuple(range(1, 81))
    assert encoding_of(dataclasses.replace(NVIDIA, mean=numbers, variance=numbers)) == "statistics"
    assert encoding_of(dataclasses.replace(NVIDIA, log="db20", ref_db=3.0)) is None


def test_each_preset_has_one() -> None:
    assert all(encoding_of(config) in encodings() for config in PRESETS.values())
