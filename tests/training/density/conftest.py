"""Helpers and fixtures that these tests share with those of the vocoder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "vocoder"))


@pytest.fixture
def float64() -> Iterator[None]:
    """Make float64 the type of new tensors, so that mathematics is compared to many digits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
