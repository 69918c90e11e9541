"""Mels that came with recordings, in memory, and how a batch uses them in place of the recordings' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.corpora.given_mels import given_mel
from training.corpora.manifest import Entry, Manifest
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram


class MelStore:
    """Mels of manifest entries in one mel config, read and checked once; `samples` are the lengths of their audio.

    An hour of 80 bands at 22,050 Hz takes 99 MB.

    Raises:
        ManifestError: a mel cannot be read, does not fit its audio, or does not convert.
    """

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], samples: Sequence[int], mel_config: MelConfig
    ) -> None:
        pairs = zip(entries, samples, strict=True)
        self._fitted = [given_mel(manifest, entry, mel_config, int(length)) for entry, length in pairs]
        self._silence = MelSpectrogram(mel_config).silence().numpy()[:, None]

    def delay(self, index: int) -> int | None:
        """Return the samples of a recording before the one that its mel starts at; None where it came with none."""
        fitted = self._fitted[index]
        return None if fitted is None else fitted[1]

    def read(self, index: int, start: int, frames: int) -> NDArray[np.float32]:
        """Return frames (n_mels, frames) of an entry's mel from frame `start` on, silence after its end."""
        mel, fitted = np.repeat(self._silence, frames, axis=1), self._fitted[index]
        if fitted is not None:
            inside = fitted[0][:, start : start + frames]
            mel[:, : inside.shape[1]] = inside
        return mel


def conditioned(mel: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return mels (B, n_mels, frames) of recordings, replaced by those that came with them (`mel`, `has_mel`)."""
    if "mel" not in batch:
        return mel
    return torch.where(batch["has_mel"][:, None, None], batch["mel"].to(mel.dtype), mel)
