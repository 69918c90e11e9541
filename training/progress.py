"""The progress bar of work that takes minutes; without a terminal a line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def with_bar(items: Iterable[Item], unit: str, total: int | None = None, name: str | None = None) -> Iterable[Item]:
    """Return items such that a bar on the standard error shows how many were taken; no terminal gets a line if named.

    Args:
        items: one for each thing done.
        unit: what one thing is called.
        total: how many there are, where items have no length.
        name: to put before the bar.
    """
    if name is not None and not sys.stderr.isatty():
        print(f"{name}: {total} {unit}", file=sys.stderr, flush=True)
    return tqdm(items, name, total, unit=unit, file=sys.stderr, disable=None)
