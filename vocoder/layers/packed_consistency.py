"""The correction of audio towards its mel, for a row of utterances."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.mel_consistency import MelConsistency, overlap_add
from vocoder.packing import Packing

__all__ = ["consistency_gap", "correct_packed"]


def consistency_gap(consistency: MelConsistency) -> int:
    """Return the frames that the gaps need, so that the reflections of two neighbours stand beside each other."""
    return -(-2 * consistency.config.padding // consistency.config.hop_length)


def correct_packed(consistency: MelConsistency, x: Tensor, mel: Tensor, packing: Packing) -> Tensor:
    """Return the corrected row (1, T), as if each utterance in it were corrected on its own.

    The same steps as `MelConsistency` takes; the reflections of an utterance's ends stand in the gaps, and audio
    frames that are no utterance's add nothing.

    Args:
        consistency: the correction.
        x: row of audio (1, T).
        mel: row of mels (1, n_mels, T / hop_length).
        packing: whose gaps are at least `consistency_gap` and whose utterances are longer than the mel's padding.
    """
    if consistency.steps == 0:
        return x
    config, length = consistency.config, x.shape[1]
    to, source = _reflections(config.padding, config.hop_length, packing)
    grids = [_Grid(consistency, packing, grid) for grid in range(min(consistency.grids, consistency.steps))]
    before = x
    for i in range(consistency.steps):
        grid, pace = grids[i % consistency.grids], consistency.paces[i]
        row = F.pad(x, (config.padding, config.padding))
        row = row.index_copy(1, to, row[:, source])
        corrected = grid.corrected(row, mel, pace.relaxation)[:, :length]
        x, before = corrected + pace.momentum * (x - before), x
    return x


class _Grid:
    """The frames that a step over a row corrects.

    Args:
        consistency: the correction.
        packing: whose utterances begin at multiples of `consistency.grids`.
        grid: number of the first frame.
    """

    def __init__(self, consistency: MelConsistency, packing: Packing, grid: int) -> None:
        config = consistency.config
        self._consistency, self._grid = consistency, grid
        beyond = 1 + (2 * config.padding - config.n_fft) // config.hop_length  # frames of audio minus those of the mel
        samples = packing.frames * config.hop_length + 2 * config.padding - grid * config.hop_length
        owned = torch.zeros(1 + (samples - config.n_fft) // consistency.stride)
        edges = []
        for start, end in zip(packing.starts, packing.ends, strict=True):
            first = -(-(start - grid) // consistency.grids)
            last = -(-(end + beyond - grid) // consistency.grids)
            owned[first:last] = 1.0
            edges += [last - 1] if beyond and (end - grid) % consistency.grids == 0 else []
        self._owned = owned.to(packing.device)
        self._edges = torch.tensor(edges, device=packing.device, dtype=torch.long)
        self._weight = consistency.weight(len(owned), self._owned)

    def corrected(self, row: Tensor, mel: Tensor, relaxation: float) -> Tensor:
        """Return audio (1, at least T) for the padded row of audio and its mel (1, n_mels, T / hop_length)."""
        consistency, config = self._consistency, self._consistency.config
        first = self._grid * config.hop_length
        frames = row[:, first:].unfold(1, config.n_fft, consistency.stride)
        spectrum, difference = consistency.compare(frames, mel[:, :, self._grid :: consistency.grids].transpose(1, 2))
        difference = F.pad(difference, (0, 0, 0, frames.shape[1] - difference.shape[1]))
        if len(self._edges):  # a last frame beyond the mel is corrected as its neighbour
            difference = difference.index_copy(1, self._edges, difference[:, self._edges - 1])
        filtered = consistency.filtered(spectrum, difference * relaxation) * self._owned[:, None]
        total = overlap_add(filtered, consistency.stride) / self._weight
        total = F.pad(total, (0, max(row.shape[1] - first - total.shape[1], 0)))
        return total[:, config.padding - first :]


def _reflections(padding: int, hop_length: int, packing: Packing) -> tuple[Tensor, Tensor]:
    """Return the indices in the padded row that hold reflections, and those of the samples that they reflect."""
    away = torch.arange(1, padding + 1)
    to, source = [], []
    for start, end in zip(packing.starts, packing.ends, strict=True):
        first, last = padding + start * hop_length, padding + end * hop_length - 1
        to += [first - away, last + away]
        source += [first + away, last - away]
    return torch.cat(to).to(packing.device), torch.cat(source).to(packing.device)
