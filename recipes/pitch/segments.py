"""Mels of disturbed segments of a corpus, with the pitch that a tracker finds in the disturbed sound."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recipes.pitch.disturbance import DisturbanceConfig, disturbed
from training.corpora.pitch import LabelConfig, follow
from training.data.datasets import SegmentDataset
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

_DISTURBANCE = 2  # the number of the random stream, beside those of the segments
_LOWEST = 50.0  # Hz, as played: slow voices are lower than those of recordings
_LOUDEST = 0.15  # root mean square of the loudest frame of prepared recordings, whose whole has 0.06


class PitchSegments:
    """Items `mel` (n_mels, frames) and `f0` (frames,) in Hz, 0 where unvoiced; a pure function of (epoch, index).

    Following the pitch takes longer than a step of training. Items are therefore those of the epoch before, with the
    loss's own variations, until `reuse` epochs are over, and kept in memory meanwhile.
    """

    def __init__(self, base: SegmentDataset, mel_config: MelConfig, config: DisturbanceConfig, reuse: int = 1) -> None:
        self.base, self.config, self.reuse = base, config, reuse
        self.mel = MelSpectrogram(mel_config, precise=False)
        self._round, self._kept = 0, dict[int, dict[str, Tensor]]()

    def __len__(self) -> int:
        return len(self.base)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the following items belong to."""
        if epoch // self.reuse != self._round:
            self._round, self._kept = epoch // self.reuse, {}
        self.base.set_epoch(self._round)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index not in self._kept:
            self._kept[index] = self._made(index)
        return self._kept[index]

    def _made(self, index: int) -> dict[str, Tensor]:
        settings, rate = self.base.config, self.base.sample_rate
        rng = np.random.default_rng((settings.seed, self._round, index, _DISTURBANCE))
        x = disturbed(self.base[index]["x"].numpy(), rate, self.config, rng)
        frames = settings.segment_length // settings.hop_length
        inner = x[settings.margin : len(x) - settings.margin]
        f0 = follow(inner, rate, LabelConfig(high_pass=_LOWEST), _LOUDEST)[:frames]
        mel = self.mel.frame(torch.from_numpy(x)[None])[0, :, :frames]
        return {"mel": mel.contiguous(), "f0": torch.from_numpy(f0)}
