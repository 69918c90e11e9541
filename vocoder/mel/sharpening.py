"""Restore the contrast above 1 kHz that the smooth mels of acoustic models lack.

A network trained on the mean error of mels predicts averages: formants are flat, and the texture of speech, its noise
and its beating harmonics, is lost. Mels of recordings have at least the texture of white noise, so the loss can be
measured from the mel alone, and the contrast is raised accordingly. (Compare the restored variance of Toda and Tokuda,
"A speech parameter generation algorithm considering global variance for HMM-based speech synthesis", 2007.)
"""

import math
from functools import cache

import torch
from torch import Tensor

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram, band_centres
from vocoder.stages import torch_defaults

GAIN = 2.2
"""factor on a frame's deviations from its smoothed spectrum at full strength, the largest possible"""
OCTAVES = 0.8
"""standard deviation of the Gaussian that smooths the spectrum"""
TAKEN_BACK = 0.5
"""share of the level, in dB, that is removed again: contrast adds level, since peaks gain more than valleys lose"""
LIMIT = 1.0
"""soft limit of the change, in nepers, so that an edge of the spectrum is not treated as a formant"""
RISE = (800.0, 1200.0)
"""Hz between which the gain sets in"""
TEXTURE = (0.65, 0.8)
"""texture up to which deviations are divided by it, and from which a mel is left unchanged"""
HEARD = (2200.0, 7500.0)
"""Hz between which texture is measured"""
_AUDIBLE = 2.0  # nepers above the mel's floor from which a frame counts; louder frames count more
_PRIOR = 24.0  # weight of the prior that a mel has the texture of noise, worth six frames of speech
_NOISE_SECONDS = 4.0
_TINY = 1e-6


class Sharpener:
    """The constants of sharpening for a mel config with natural logarithms of magnitudes, without statistics."""

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
        """(n_mels, n_mels), maps a frame to the change at full strength"""
        self.smoothing = _precise(bell.float().to(device))
        """(n_mels, n_mels), maps a frame to its smoothed spectrum"""
        self.levelled = _precise((TAKEN_BACK / 2 * rise[:, None]).float().to(device))
        """(n_mels, 1), the share of excess level to remove"""
        self.floor = math.log(config.floor)
        heard = ((hertz > HEARD[0]) & (hertz < HEARD[1]))[1:]
        noise = torch.randn(1, round(_NOISE_SECONDS * config.sample_rate), generator=torch.Generator().manual_seed(0))
        rough = _roughness(MelSpectrogram(config)(0.1 * noise).double().diff(dim=2)).mean(dim=(0, 2))
        self.heard = heard.to(device)
        """(n_mels - 1,), which differences between neighbouring bands are measured"""
        self.reference = ((rough * heard).sum() / heard.sum().clamp_min(1)).clamp_min(_TINY).float().to(device)
        """mean square of the changes of those differences from frame to frame in white noise"""

    def added(self, mel: Tensor, strength: Tensor | float) -> Tensor:
        """Return mels (B, n_mels, frames) with their contrast raised by a strength 0 to 1, (B, 1, frames) or scalar."""
        made = mel + strength * LIMIT * torch.tanh(self.raised @ mel / LIMIT)
        power, before = (self.smoothing @ (2 * each.clamp(-40, 40)).exp() for each in (made, mel))
        return torch.maximum(made - self.levelled * (power / before).log(), mel.clamp_max(self.floor))


_sharpener = cache(torch_defaults()(Sharpener))


class Sharpening:
    """Sharpens an utterance or batch in pieces, without delay: strengths depend on earlier frames, or one is given."""

    def __init__(self, sharpener: Sharpener, strength: float | None = None) -> None:
        self._sharpener, self._strength = sharpener, strength
        self._found: Tensor | None = None
        self._last: Tensor | None = None
        self._sums: tuple[Tensor, Tensor] | None = None

    @property
    def reached(self) -> float:
        """Strength at the latest frame of the first item, 0 to 1, rounded to two places."""
        return round(self._strength or 0.0 if self._found is None else float(self._found[0, -1]), 2)

    def push(self, mel: Tensor) -> Tensor:
        """Sharpen the next frames (B, n_mels, frames)."""
        if self._strength == 0 or not mel.shape[2]:
            return mel
        strength: Tensor | float | None = self._strength
        if strength is None:
            strength = self.strengths(mel)[:, None]
            # mels of recordings need no sharpening; on a GPU the check would wait for the device
            if mel.is_cpu and not torch.compiler.is_compiling() and not strength.any():
                return mel
        return self._sharpener.added(_precise(mel), strength).to(mel.dtype)

    def strengths(self, mel: Tensor) -> Tensor:
        """Return the strengths (B, frames), 0 to 1, for the next frames (B, n_mels, frames)."""
        low, high = TEXTURE
        texture = self.textures(mel)
        share = ((high - texture) / (high - low)).clamp(0, 1)
        self._found = (share * (1 / texture - 1).clamp_min(0) / (GAIN - 1)).clamp_max(1)
        return self._found

    def textures(self, mel: Tensor) -> Tensor:
        """Return the texture (B, frames) up to each of the next frames (B, n_mels, frames), relative to white noise."""
        mel = _precise(mel)
        rough, weight = (each.cumsum(dim=1) for each in self._measured(mel))
        if self._sums is not None:
            rough, weight = rough + self._sums[0], weight + self._sums[1]
        self._last, self._sums = mel[:, :, -1:], (rough[:, -1:], weight[:, -1:])
        return ((rough + _PRIOR) / (weight + _PRIOR)).sqrt()

    def _measured(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return each frame's weighted squared texture and its weight (B, frames); bands at the floor are silent."""
        known = self._sharpener
        before = torch.cat([mel[:, :, :1] if self._last is None else self._last, mel[:, :, :-1]], dim=2)
        quiet = torch.minimum(mel, before)
        there = ((torch.minimum(quiet[:, 1:], quiet[:, :-1]) > known.floor + 1.0) & known.heard[:, None]).to(mel.dtype)
        count = there.sum(dim=1)
        square = (_roughness(mel - before) * there).sum(dim=1) / (known.reference * count.clamp_min(1.0))
        level = (mel[:, 1:] * there).sum(dim=1) / count.clamp_min(1.0) - known.floor - _AUDIBLE
        weight = level.clamp_min(0.0) * (count > 0)
        if self._last is None:  # the first frame has no predecessor
            weight = torch.cat([torch.zeros_like(weight[:, :1]), weight[:, 1:]], dim=1)
        return weight * square, weight


def sharpening_of(config: MelConfig, device: torch.device, strength: float | None = None) -> Sharpening:
    """Return the sharpening for one utterance or batch of mels; raises a ValueError if these cannot be sharpened."""
    if strength and not config.correctable:
        raise ValueError(f"{config.name!r} mels cannot be sharpened: leave sharpen out, or give 0")
    return Sharpening(_sharpener(config, device), strength if config.correctable else 0.0)


def _precise(mel: Tensor) -> Tensor:
    """Return a mel in float64 if the device supports it; float32 rounding would depend on the size of the pieces."""
    return mel if mel.device.type == "mps" else mel.double()


def _roughness(change: Tensor) -> Tensor:
    """Return the squared differences (B, n_mels - 1, frames) between neighbouring bands of changes over time."""
    return (change[:, 1:] - change[:, :-1]).square()
