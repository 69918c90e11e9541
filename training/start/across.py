"""Converts the weights of a reverse student to another mel: the same function, as far as bands and bins allow."""

import torch
from torch import Tensor

from vocoder.config import ConfigError
from vocoder.layers.conditioning import MEL_CENTRE, normalised
from vocoder.layers.source import MIXING_STEP_SCALE
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import band_centres, band_interpolation
from vocoder.models.reverse import Reverse


def weights_across(student: Reverse, given: Reverse) -> dict[str, Tensor]:
    """Return the weights of a reverse student of another mel, with those on bands or bins moved to the student's.

    Bands of the given mel are interpolated from the student's at the same frequency, after subtracting each band's
    level for a flat spectrum. Coefficients and bins are taken from the nearest ones. Those above the given model's
    highest start equal to it and do not affect its input. Raises ConfigError if one of the models has no spectrum head,
    or they differ in window or hop.
    """
    if student.head is None or given.head is None:
        raise ConfigError("only a reverse student with a spectrum head can start from one of another mel")
    ours, theirs = student.head.config.mel, given.head.config.mel
    if (ours.n_fft, ours.win_length, ours.hop_length) != (theirs.n_fft, theirs.win_length, theirs.hop_length):
        raise ConfigError(
            f"a start from another mel needs the same window and hop: {theirs.name!r} has {theirs.win_length} and "
            f"{theirs.hop_length} samples, {ours.name!r} {ours.win_length} and {ours.hop_length}"
        )
    state, ratio, size = given.state_dict(), ours.sample_rate / theirs.sample_rate, ours.hop_length
    coefficients, bins = _nearest(size, ratio), _nearest(given.head.bins, ratio)
    shift = between(theirs, ours)[0]
    for kind in ("weight", "bias"):
        for name, index in (("excitation.gains", coefficients), ("head.end", bins)):
            parts = state[f"{name}.{kind}"].unflatten(0, (-1, len(index)))
            state[f"{name}.{kind}"] = parts[:, index].flatten(0, 1)
        state[f"head.shift.{kind}"] = shift.to(state["start.bias"]) @ state[f"head.shift.{kind}"]
    inside = int((torch.arange(size) * ratio <= size - 1).sum())
    mixing = MIXING_STEP_SCALE**-1 * torch.eye(size).to(state["start.bias"])
    mixing[:inside, :inside] = state["excitation.mixing"][coefficients[:inside]][:, coefficients[:inside]]
    state["excitation.mixing"] = mixing
    weights, offset = between(ours, theirs)
    offset = normalised(offset + MEL_CENTRE * weights.sum(dim=1))  # between networks' inputs, which are normalised
    noise, condition, mel = state["start.weight"].split([size, given.config.cond_channels, theirs.n_mels], dim=1)
    weights, offset = weights.to(mel), offset.to(mel)
    for name in ("condition.layers.0", "pitch.layers.0"):
        kernel = state[f"{name}.weight"]
        state[f"{name}.bias"] = state[f"{name}.bias"] + torch.einsum("omk,m->o", kernel, offset)
        state[f"{name}.weight"] = torch.einsum("omk,mn->onk", kernel, weights)
    noise = noise[:, coefficients] * (torch.arange(size) < inside)
    state["start.weight"] = torch.cat([noise, condition, mel @ weights], dim=1)
    state["start.bias"] = state["start.bias"] + mel @ offset
    return state


def between(source: MelConfig, target: MelConfig) -> tuple[Tensor, Tensor]:
    """Return weights (target bands, source bands) and offsets (target bands,) that convert natural-log mels.

    This is exact for spectra whose logarithm is linear between the centres of the source's bands, such as flat ones.
    """
    (_, source_width), (target_centres, target_width) = band_centres(source), band_centres(target)
    weights = band_interpolation(source, target_centres)
    offset = target_width.log() - weights @ source_width.log()
    return weights.to(torch.get_default_dtype()), offset.to(torch.get_default_dtype())


def _nearest(count: int, ratio: float) -> Tensor:
    """Return the index of the coefficient or bin nearest in Hz to each one at a sample rate `ratio` times as high."""
    return (torch.arange(count) * ratio).round().long().clamp_max(count - 1)
