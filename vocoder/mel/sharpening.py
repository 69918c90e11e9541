"""Mels that acoustic models predict are smooth: they are given back the contrast that they lack above 1 kHz.

A network that learns mels by their mean error draws what it cannot know as an average: formants come out flat, and the
texture of speech, its noise and its beating harmonics, is gone. Recordings have at least the texture of white noise, so
that what is missing can be told from the mel alone; the contrast is raised in that measure. (Filters that give
predicted speech its variance back: Toda and Tokuda, "A speech parameter generation algorithm considering global
variance for HMM-based speech synthesis", 2007.)
"""

import math
from functools import cache

import torch
from torch import Tensor

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram, band_centres

GAIN = 2.2
"""by which deviations from the smooth spectrum of a frame are multiplied at full strength, and at most"""
OCTAVES = 0.8
"""standard deviation of the bell that smooths that spectrum"""
TAKEN_BACK = 0.5
"""share of the level, in dB, that contrast adds to a frame around each band, since peaks gain more than valleys lose"""
LIMIT = 1.0
"""soft bound of what is added, in nepers: an edge of the spectrum is no formant"""
RISE = (800.0, 1200.0)
"""Hz between which the gain sets in"""
TEXTURE = (0.65, 0.8)
"""textures at and below which deviations are divided by the texture, and at and above which a mel stays as it is"""
HEARD = (2200.0, 7500.0)
"""Hz between which texture is measured"""
_AUDIBLE = 2.0  # nepers above the floor of the mel from which a frame counts, the more the louder it is
_PRIOR = 24.0  # what the texture of noise counts that each mel is taken to begin with: six frames of speech
_NOISE_SECONDS = 4.0
_TINY = 1e-6


class Sharpener:
    """What sharpening knows of a mel config, whose mels are natural logarithms of magnitudes without statistics.

    Attributes:
        raised: (n_mels, n_mels), from a frame to what is added to it at full strength.
        smoothing: (n_mels, n_mels), from a frame to its smooth spectrum.
        levelled: (n_mels, 1), the part of the level in excess that is taken back.
        heard: (n_mels - 1,), of the differences between neighbouring bands, those that are measured.
        reference: mean square of those differences, along time as well, in the mel of white noise.
    """

    def __init__(self, config: MelConfig, device: torch.device | str = "cpu") -> None:
        hertz = band_centres(config)[0].nan_to_num(1.0).clamp_min(1.0)
        octave = torch.log2(hertz)
        near = (hertz[1:] - 4000.0).abs().argmin(dim=0, keepdim=True)
        width = OCTAVES / octave.diff().abs().gather(0, near)
        index = torch.arange(config.n_mels, dtype=torch.float64)
        bell = torch.softmax(-0.5 * ((index[:, None] - index) / width).square(), dim=1)
        rise = ((octave - math.log2(RISE[0])) / math.log2(RISE[1] / RISE[0])).clamp(0, 1)
        contrast = torch.eye(config.n_mels, dtype=torch.float64) - bell
        self.raised = _precise(((GAIN - 1) * rise[:, None] * contrast).float().to(device))
        self.smoothing = _precise(bell.float().to(device))
        self.levelled = _precise((TAKEN_BACK / 2 * rise[:, None]).float().to(device))
        self.floor = math.log(config.floor)
        heard = ((hertz > HEARD[0]) & (hertz < HEARD[1]))[1:]
        noise = torch.randn(1, round(_NOISE_SECONDS * config.sample_rate), generator=torch.Generator().manual_seed(0))
        rough = _roughness(MelSpectrogram(config)(0.1 * noise).double().diff(dim=2)).mean(dim=(0, 2))
        self.heard = heard.to(device)
        self.reference = ((rough * heard).sum() / heard.sum().clamp_min(1)).clamp_min(_TINY).float().to(device)

    def added(self, mel: Tensor, strength: Tensor | float) -> Tensor:
        """Return mels (B, n_mels, frames) with their contrast raised by a strength, 0 to 1, (B, 1, frames) or one."""
        made = mel + strength * LIMIT * torch.tanh(self.raised @ mel / LIMIT)
        power, before = (self.smoothing @ (2 * each.clamp(-40, 40)).exp() for each in (made, mel))
        return torch.maximum(made - self.levelled * (power / before).log(), mel.clamp_max(self.floor))


class Sharpening:
    """Sharpens one utterance, or a batch, in pieces; together they equal the whole.

    The strength of a frame follows from the frames up to it, so that none waits. A given `strength` is that of all.
    """

    def __init__(self, sharpener: Sharpener, strength: float | None = None) -> None:
        self._sharpener, self._strength = sharpener, strength
        self._found: Tensor | None = None
        self._last: Tensor | None = None
        self._sums: tuple[Tensor, Tensor] | None = None

    @property
    def reached(self) -> float:
        """Strength of the last frame so far, of the first item of a batch: 0 to 1, to two places."""
        return round(self._strength or 0.0 if self._found is None else float(self._found[0, -1]), 2)

    def push(self, mel: Tensor) -> Tensor:
        """Return the next frames (B, n_mels, frames), sharpened."""
        if self._strength == 0 or not mel.shape[2]:
            return mel
        strength: Tensor | float | None = self._strength
        if strength is None:
            strength = self.strengths(mel)[:, None]
            # recordings need none; a GPU would have to be waited for
            if mel.is_cpu and not torch.compiler.is_compiling() and not strength.any():
                return mel
        return self._sharpener.added(_precise(mel), strength).to(mel.dtype)

    def strengths(self, mel: Tensor) -> Tensor:
        """Return the strength of each of the next frames (B, n_mels, frames): (B, frames) from 0 to 1."""
        low, high = TEXTURE
        texture = self.textures(mel)
        share = ((high - texture) / (high - low)).clamp(0, 1)
        self._found = (share * (1 / texture - 1).clamp_min(0) / (GAIN - 1)).clamp_max(1)
        return self._found

    def textures(self, mel: Tensor) -> Tensor:
        """Return the texture, as parts of white noise's, up to each next frame of (B, n_mels, frames): (B, frames)."""
        mel = _precise(mel)
        rough, weight = (each.cumsum(dim=1) for each in self._measured(mel))
        if self._sums is not None:
            rough, weight = rough + self._sums[0], weight + self._sums[1]
        self._last, self._sums = mel[:, :, -1:], (rough[:, -1:], weight[:, -1:])
        return ((rough + _PRIOR) / (weight + _PRIOR)).sqrt()

    def _measured(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each frame adds to the weighted sum of squared texture, and to that of weights, both (B, frames).

        Bands at the floor of the mel are no sound.
        """
        known = self._sharpener
        before = torch.cat([mel[:, :, :1] if self._last is None else self._last, mel[:, :, :-1]], dim=2)
        quiet = torch.minimum(mel, before)
        there = ((torch.minimum(quiet[:, 1:], quiet[:, :-1]) > known.floor + 1.0) & known.heard[:, None]).to(mel.dtype)
        count = there.sum(dim=1)
        square = (_roughness(mel - before) * there).sum(dim=1) / (known.reference * count.clamp_min(1.0))
        level = (mel[:, 1:] * there).sum(dim=1) / count.clamp_min(1.0) - known.floor - _AUDIBLE
        weight = level.clamp_min(0.0) * (count > 0)
        if self._last is None:  # nothing is before the first frame
            weight = torch.cat([torch.zeros_like(weight[:, :1]), weight[:, 1:]], dim=1)
        return weight * square, weight


def check_strength(strength: float | None, config: MelConfig) -> None:
    """Raise a ValueError if mels of a mel config shall be sharpened and cannot be."""
    if strength and not config.correctable:
        raise ValueError(f"mels of {config.name!r} cannot be sharpened: leave sharpen out, or give 0")


def sharpening_of(config: MelConfig, device: torch.device, strength: float | None = None) -> Sharpening:
    """Return the sharpening of one utterance of a mel config, or a batch; raises as `check_strength`."""
    check_strength(strength, config)
    return Sharpening(_sharpener(config, device), strength if config.correctable else 0.0)


def sharpened(mel: Tensor, config: MelConfig) -> Tensor:
    """Return mels (B, n_mels, frames) as a model of their mel config hears them."""
    return sharpening_of(config, mel.device).push(mel)


def strength_of(mel: Tensor, config: MelConfig) -> float:
    """Return the strength that the last frame of a mel (n_mels, frames) of a model's mel config is given by default."""
    sharpening = sharpening_of(config, mel.device)
    if config.correctable:
        sharpening.strengths(mel[None])
    return sharpening.reached


@cache
def _sharpener(config: MelConfig, device: torch.device) -> Sharpener:
    return Sharpener(config, device)


def _precise(mel: Tensor) -> Tensor:
    """Return a mel in float64, where the device has it: what float32 rounds depends on the number of frames at once."""
    return mel if mel.device.type == "mps" else mel.double()


def _roughness(change: Tensor) -> Tensor:
    """Return squared differences between neighbouring bands (B, n_mels - 1, frames) of changes (B, n_mels, frames)."""
    return (change[:, 1:] - change[:, :-1]).square()
