"""Utterances of a corpus, drawn at random, in two parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.corpora.manifest import Entry, Manifest

__all__ = ["chosen", "two_parts"]

SHORTEST = 0.4  # seconds


def chosen(manifest: Manifest, count: int, seed: int) -> list[Entry]:
    """Return at most `count` utterances of the training split, at random."""
    entries = [entry for entry in manifest.select("train") if entry.duration >= SHORTEST]
    order = np.random.default_rng(seed).permutation(len(entries))
    return [entries[i] for i in order[:count]]


def two_parts(entries: Sequence[Entry], share: float) -> tuple[list[Entry], list[Entry]]:
    """Return utterances to fit to, and others to hold out."""
    cut = round(len(entries) * (1.0 - share))
    return list(entries[:cut]), list(entries[cut:])
