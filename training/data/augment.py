"""Augmentation: random microphone, room, channel and noise, which change both the mel and the target.

Mels alone can also be smoothed and disturbed, to resemble those of acoustic models.
"""

import math
from dataclasses import dataclass
from typing import Annotated, TypeVar

import numpy as np
import torch
from scipy.signal import fftconvolve
from torch import Tensor
from torch.nn import functional as F

from training.corpora.condition import rms
from vocoder.config import POSITIVE, Checked, Count, NotNegative, Range, Rules, Share

_PEAKS = 3
_LOWEST = 60.0  # Hz; the equaliser is constant below
_SLOPE = 300.0  # width in Hz of a low-pass's transition
_TINY = 1e-12
Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True)
class AugmentConfig(Checked):
    """How often and how far recordings are varied; everything is off by default."""

    equaliser_db: Annotated[float, (0, 40)] = 0.0
    """largest gain in dB of a tilt over the whole band and of three peaks"""
    low_pass: Share = 0.0
    """share of segments that are low-passed"""
    low_pass_hz: Annotated[Range, (_SLOPE, math.inf)] = (3400.0, 10000.0)
    """range of the edge in Hz"""
    noise: Share = 0.0
    """share of segments that get a noise floor"""
    noise_db: Annotated[Range, (-math.inf, math.inf)] = (-70.0, -40.0)
    """range of its level in dB, relative to the segment's"""
    reverberation: Share = 0.0
    """share of segments that get reverberation"""
    reverberation_seconds: Annotated[Range, POSITIVE] = (0.05, 0.3)
    """range of the time in which the reverberation falls by 60 dB"""
    reverberation_db: Annotated[Range, (-math.inf, math.inf)] = (-25.0, -8.0)
    """range of the reverberation's energy in dB, relative to the direct sound's"""


def augmented(
    x: np.ndarray, band: float, sample_rate: int, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Return an augmented segment x (T,) float32 of unchanged root mean square, and its bandwidth in Hz.

    Each kind of augmentation draws the same random numbers whether it is on or off.
    """
    shape, chances, levels = rng.random(2 * _PEAKS + 1), rng.random(3), rng.random(4)
    response = _equaliser(len(x), sample_rate, config.equaliser_db, shape)
    if chances[0] < config.low_pass:
        edge = between(config.low_pass_hz, levels[0])
        if edge < band:
            response, band = response * low_pass(len(x), sample_rate, torch.tensor([edge]).double())[0].numpy(), edge
    y = np.fft.irfft(np.fft.rfft(x) * response, len(x))
    if chances[1] < config.reverberation:
        seconds, level = between(config.reverberation_seconds, levels[1]), between(config.reverberation_db, levels[2])
        size = int(seconds * sample_rate)
        echo = rng.standard_normal(size) * 10 ** (-3 * np.arange(size) / size)  # noise that falls by 60 dB
        y = y + fftconvolve(y, echo * (10 ** (level / 20) / np.sqrt(np.sum(echo**2))))[: len(y)]
    level = rms(x)
    y *= level / max(rms(y), _TINY)
    if chances[2] < config.noise:
        y += level * 10 ** (between(config.noise_db, levels[3]) / 20) * rng.standard_normal(len(x))
    return y.astype(np.float32), band


def _equaliser(length: int, sample_rate: int, decibels: float, shape: np.ndarray) -> np.ndarray:
    """Return gains (length // 2 + 1,): a tilt, and peaks of half an octave at random positions on an octave scale."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), _LOWEST) / _LOWEST)
    width = octaves[-1]
    gain = (2 * shape[0] - 1) * (octaves / width - 0.5)
    for place, height in shape[1:].reshape(_PEAKS, 2):
        gain = gain + (2 * height - 1) * np.exp(-0.5 * ((octaves - place * width) / 0.5) ** 2)
    return np.asarray(10 ** (decibels * gain / 20))


def low_pass(length: int, sample_rate: int, edges: Tensor) -> Tensor:
    """Return gains (B, length // 2 + 1) that fall to 0 within 300 Hz below edges (B,) in Hz; 1 for the Nyquist edge."""
    frequency = torch.fft.rfftfreq(length, 1 / sample_rate, dtype=edges.dtype, device=edges.device)
    below = ((edges[:, None] - frequency) / _SLOPE).clamp(0, 1)
    return torch.where(edges[:, None] >= sample_rate / 2, 1.0, 0.5 - 0.5 * torch.cos(math.pi * below))


def between(bounds: tuple[float, ...], fraction: Number) -> Number:
    """Return the number at a fraction, 0 to 1, of a range."""
    return bounds[0] + (bounds[1] - bounds[0]) * fraction


@dataclass(frozen=True)
class BlurConfig(Checked):
    """How mels are smoothed along both axes at once, by triangles of random size (arXiv 2409.02517)."""

    share: Share = 0.5
    """share of items that are smoothed"""
    bands: Count = 9
    frames: Count = 9
    """largest width of the triangle along each axis, odd; 1 means no smoothing"""
    roughness: NotNegative = 0.3
    """largest standard deviation of the noise added to natural-log mels"""

    def _rules(self) -> Rules:
        odd = self.bands % 2 == 1 == self.frames % 2
        yield odd, f"bands and frames must be odd, not {self.bands} and {self.frames}"


def blurred(mel: Tensor, config: BlurConfig) -> Tensor:
    """Return natural-log mels (B, n_mels, frames), a share smoothed by triangles of random size and then disturbed."""
    if config.share == 0:
        return mel
    count, device = len(mel), mel.device
    changed = (torch.rand(count, device=device) < config.share)[:, None, None]
    smooth = _triangles(_triangles(mel, config.frames).transpose(1, 2), config.bands).transpose(1, 2)
    level = config.roughness * torch.rand(count, 1, 1, device=device) ** 2
    return torch.where(changed, smooth + level * torch.randn_like(mel), mel)


def _triangles(mel: Tensor, widest: int) -> Tensor:
    """Return (B, C, n) smoothed along its last axis by triangles of random width from 1 to `widest` per item."""
    reach = widest // 2
    slope = 1 + reach * torch.rand(len(mel), 1, device=mel.device)
    taps = (1 - torch.arange(-reach, reach + 1, device=mel.device).abs() / slope).clamp_min(0)
    taps = taps / taps.sum(dim=1, keepdim=True)
    return torch.einsum("bcnk,bk->bcn", F.pad(mel, (reach, reach), mode="replicate").unfold(2, widest, 1), taps)
