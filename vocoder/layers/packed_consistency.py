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
    return -(-2 * consistency.config.padding // consistency.config.hop_length) if consistency.steps else 0


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
    owned, edge = _audio_frames(consistency, packing)
    to, source = _reflections(config.padding, config.hop_length, packing)
    target = mel.transpose(1, 2)
    row = F.pad(x, (config.padding, config.padding))
    windows = consistency.window.square() * owned[:, None]
    weight = overlap_add(windows[None], config.hop_length).clamp_min(1e-3)
    for _ in range(consistency.steps):
        row = row.index_copy(1, to, row[:, source])
        frames = row.unfold(1, config.n_fft, config.hop_length)
        spectrum, difference = consistency.compare(frames, target)
        difference = F.pad(difference, (0, 0, 0, frames.shape[1] - difference.shape[1]))
        if edge is not None:  # a last frame beyond the mel is corrected as its neighbour
            difference = difference.index_copy(1, edge, difference[:, edge - 1])
        corrected = consistency.filtered(spectrum, difference) * owned[:, None]
        total = overlap_add(corrected, config.hop_length) / weight
        row = F.pad(total, (0, row.shape[1] - total.shape[1]))
    return row[:, config.padding : config.padding + length]


def _audio_frames(consistency: MelConsistency, packing: Packing) -> tuple[Tensor, Tensor | None]:
    """Return which audio frames belong to an utterance (count,), and the index of each one's last beyond its mel."""
    config = consistency.config
    beyond = 1 + (2 * config.padding - config.n_fft) // config.hop_length  # frames of audio minus frames of the mel
    row = packing.frames * config.hop_length + 2 * config.padding
    owned = torch.zeros(1 + (row - config.n_fft) // config.hop_length)
    for start, end in zip(packing.starts, packing.ends, strict=True):
        owned[start : end + beyond] = 1.0
    edge = torch.tensor(packing.ends, device=packing.device) if beyond == 1 else None
    return owned.to(packing.device), edge


def _reflections(padding: int, hop_length: int, packing: Packing) -> tuple[Tensor, Tensor]:
    """Return the indices in the padded row that hold reflections, and those of the samples that they reflect."""
    away = torch.arange(1, padding + 1)
    to, source = [], []
    for start, end in zip(packing.starts, packing.ends, strict=True):
        first, last = padding + start * hop_length, padding + end * hop_length - 1
        to += [first - away, last + away]
        source += [first + away, last - away]
    return torch.cat(to).to(packing.device), torch.cat(source).to(packing.device)
