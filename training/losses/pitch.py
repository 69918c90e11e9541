"""The loss of a network that reads the pitch from the mel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.pitch_labels import PitchLabels, pitch_labels
from vocoder.layers.source.pitch import PitchConfig, PitchNet
from vocoder.mel.config import MelConfig

__all__ = ["labels_of_frames", "mean_where", "pitch_loss"]


def labels_of_frames(padded: Tensor, frames: int, config: PitchConfig, mel_config: MelConfig) -> PitchLabels:
    """Return the labels (B, frames) of the mel frames of audio (B, margin + T + margin), margin = n_fft / 2."""
    labels = pitch_labels(
        padded, mel_config.hop_length, mel_config.sample_rate, config.f0_min, config.f0_max, mel_config.n_fft
    )
    return PitchLabels(labels.f0[:, :frames], labels.voiced[:, :frames], labels.unvoiced[:, :frames])


def pitch_loss(pitch: PitchNet, mel: Tensor, labels: PitchLabels) -> Tensor:
    """Return the cross-entropy of the pitch of voiced frames, plus that of the voicing of all labelled frames.

    The target is a bell of one class width around the true pitch, as in CREPE (Kim et al., 2018).

    Args:
        pitch: the network.
        mel: (B, n_mels, frames).
        labels: of the same frames.
    """
    logits, voicing = pitch(mel)
    index = torch.arange(pitch.config.bins, device=mel.device)[None, :, None]
    target = torch.softmax(-0.5 * (index - pitch.position(labels.f0)[:, None]).square(), dim=1)
    entropy = -(target * torch.log_softmax(logits, dim=1)).sum(dim=1)
    decision = F.binary_cross_entropy_with_logits(voicing, labels.voiced.to(voicing.dtype), reduction="none")
    return mean_where(labels.voiced, entropy) + mean_where(labels.voiced | labels.unvoiced, decision)


def mean_where(mask: Tensor, value: Tensor) -> Tensor:
    """Return the mean of `value` where `mask` is true, 0 where it is nowhere."""
    mean: Tensor = (value * mask).sum() / mask.sum().clamp_min(1)
    return mean
