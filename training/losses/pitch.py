"""The loss of a network that reads the pitch from the mel, and its labels, by the YIN method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.source.pitch import PitchConfig, PitchNet
from vocoder.mel.config import MelConfig

__all__ = ["PitchLabels", "labels_of_frames", "mean_where", "pitch_labels", "pitch_loss"]


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


@dataclass(frozen=True)
class PitchLabels:
    """Labels of (B, frames): f0 in Hz where `voiced`; frames neither `voiced` nor `unvoiced` have no label."""

    f0: Tensor
    voiced: Tensor
    unvoiced: Tensor


def pitch_labels(
    x: Tensor,
    hop_length: int,
    sample_rate: int,
    f0_min: float,
    f0_max: float,
    window: int = 1024,
    voiced_below: float = 0.15,
    unvoiced_above: float = 0.4,
    silence: float = 2e-3,
) -> PitchLabels:
    """Label the frames of `x` by YIN (de Cheveigne and Kawahara, 2002, steps 2 to 5).

    Args:
        x: (B, window + (frames - 1) * hop_length) audio, so that frame n is centred in samples
            n * hop_length to n * hop_length + window.
        hop_length: samples between frames.
        sample_rate: in Hz.
        f0_min: lowest pitch in Hz.
        f0_max: highest pitch in Hz.
        window: samples that each frame sees.
        voiced_below: frames whose normalised difference falls below this are voiced.
        unvoiced_above: frames whose normalised difference stays above this are unvoiced.
        silence: frames with a lower root mean square are unvoiced.
    """
    frames = x.unfold(1, window, hop_length)
    shortest, longest = int(sample_rate / f0_max), int(sample_rate / f0_min) + 1
    difference = _normalised_difference(frames, longest + 2)
    lag = _first_dip(difference, shortest, longest, voiced_below)
    depth = difference[..., shortest : longest + 1].amin(dim=2)
    loud = frames.square().mean(dim=2).sqrt() > silence
    f0 = sample_rate / _refined(difference, lag)
    voiced = loud & (depth < voiced_below) & (f0 >= f0_min) & (f0 <= f0_max)
    return PitchLabels(f0, voiced, ~loud | (depth > unvoiced_above))


def _normalised_difference(frames: Tensor, lags: int) -> Tensor:
    """Return the cumulative mean normalised difference (B, frames, lags), equations 6 and 8."""
    size = frames.shape[2]
    length = size - lags
    spectrum = torch.fft.rfft(frames, n=2 * size)
    head = torch.fft.rfft(frames[..., :length], n=2 * size)
    correlation = torch.fft.irfft(head.conj() * spectrum, n=2 * size)[..., :lags]
    energy = torch.cumsum(torch.nn.functional.pad(frames.square(), (1, 0)), dim=2)
    shifted = energy[..., length : length + lags] - energy[..., :lags]
    difference = (shifted[..., :1] + shifted - 2 * correlation).clamp_min(0)
    lag = torch.arange(lags, device=frames.device, dtype=frames.dtype)
    normalised: Tensor = difference * lag / torch.cumsum(difference, dim=2).clamp_min(1e-9)
    return normalised


def _first_dip(difference: Tensor, shortest: int, longest: int, threshold: float) -> Tensor:
    """Return the first local minimum below the threshold, or the deepest one (step 4)."""
    here = difference[..., shortest : longest + 1]
    dip = (here <= difference[..., shortest - 1 : longest]) & (here <= difference[..., shortest + 1 : longest + 2])
    good = dip & (here < threshold)
    first = good.to(torch.uint8).argmax(dim=2)
    return torch.where(good.any(dim=2), first, here.argmin(dim=2)) + shortest


def _refined(difference: Tensor, lag: Tensor) -> Tensor:
    """Return the vertex of the parabola through the dip and its neighbours (step 5)."""
    before, here, after = (difference.gather(2, (lag + i)[..., None]).squeeze(2) for i in (-1, 0, 1))
    curvature = before - 2 * here + after
    offset = torch.where(curvature > 1e-9, 0.5 * (before - after) / curvature.clamp_min(1e-9), torch.zeros_like(here))
    return lag + offset.clamp(-1, 1)
