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

__all__ = ["MelStore", "conditioned"]


class MelStore:
    """Mels of manifest entries, read and checked once: an hour of 80 bands at 22,050 Hz takes 99 MB.

    One array holds everything, so that forked loader processes share its pages.

    Args:
        manifest: where the entries come from.
        entries: whose mels to hold; those that give none have none here.
        samples: the length of each entry's audio.
        mel_config: the contract that all are wanted in.

    Raises:
        ManifestError: a mel cannot be read, does not fit its audio, or does not convert to the contract.
    """

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], samples: Sequence[int], mel_config: MelConfig
    ) -> None:
        given = [given_mel(manifest, entry) for entry in entries]
        none = np.zeros((mel_config.n_mels, 0), np.float32), 0
        fitted = [
            none if mel is None else mel.fitted(mel_config, int(length))
            for mel, length in zip(given, samples, strict=True)
        ]
        mels = [mel for mel, _ in fitted]
        self.delays = [delay for _, delay in fitted]
        """samples of each recording before the one that its mel's first frame is centred on"""
        self._lengths = np.array([mel.shape[1] for mel in mels], dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self._lengths)])
        self._mels = np.concatenate(mels, axis=1)
        self._silence = MelSpectrogram(mel_config).silence().numpy()[:, None]

    def has(self, index: int) -> bool:
        """Return whether an entry gives a mel."""
        return bool(self._lengths[index])

    def read(self, index: int, start: int, frames: int) -> NDArray[np.float32]:
        """Return frames (n_mels, frames) of an entry's mel from frame `start` on, silence after its end."""
        last = min(start + frames, int(self._lengths[index]))
        mel = np.repeat(self._silence, frames, axis=1)
        if start < last:
            offset = int(self._offsets[index])
            mel[:, : last - start] = self._mels[:, offset + start : offset + last]
        return mel


def conditioned(mel: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return mels (B, n_mels, frames) of recordings, replaced by those that came with them.

    Args:
        mel: of the recordings.
        batch: with `mel` (B, n_mels, frames) and `has_mel` (B,), where any of its recordings came with a mel.
    """
    if "mel" not in batch:
        return mel
    return torch.where(batch["has_mel"][:, None, None], batch["mel"].to(mel.dtype), mel)
