"""The source of a sample: white noise and a phase-coherent pulse train from a pitch track, with learned gains."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.config import Checked, Rules
from vocoder.kernels.launcher import compilable, kernel, takes
from vocoder.layers.conditioning import PitchConfig, PitchNet
from vocoder.layers.product import FrameConv, Kept, Matrix
from vocoder.packing import Packing
from vocoder.stages import CONDITION, MEL, NOISE, Span, Stage, Z, frames_of

COEFFICIENTS, SOURCE, GAINS = "coefficients", "source", "gains"
"""signals of the stages: the harmonic source after and before the flow's transform, and the gains of the mixture"""

Transform = Callable[[Tensor], tuple[Tensor, Tensor]]
"""maps between audio (B, 1, T) and coefficients (B, C, steps) with one frame of context; returns the log-determinant"""

MIXING_STEP_SCALE = 0.1  # the matrix is stored divided by this, like the flow's matrices, so that Adam moves it less


@dataclass(frozen=True)
class SourceConfig(Checked):
    """How to draw the noise of a sample: a learned mixture of a harmonic source and white noise."""

    pitch: PitchConfig = field(default_factory=PitchConfig)
    f_max: float = 8000.0  # highest frequency of the harmonics in Hz

    def _rules(self) -> Rules:
        highest = self.pitch.f0_max
        yield self.f_max > highest, f"f_max of the source must lie above the highest pitch, {highest} Hz"

    def rules(self, sample_rate: int) -> Rules:
        """Yield the rules for a sample rate in Hz."""
        highest = self.f_max + self.pitch.f0_max  # a harmonic fades out above f_max
        yield highest <= sample_rate / 2, f"harmonics up to {highest} Hz do not fit a sample_rate of {sample_rate} Hz"


class HarmonicSource:
    """The stage of the harmonic source, whose state is its phase, which is 0 where an utterance in a row begins."""

    def __init__(
        self, pitch: PitchNet, hop_length: int, sample_rate: int, f_max: float, packing: Packing | None = None
    ) -> None:
        self._pitch, self._packing = pitch, packing
        self._shape, self._f_max = (hop_length, sample_rate), f_max
        self._cycles: Tensor | None = None

    def stages(self, transform: Transform) -> list[Stage]:
        """Return the stages from the mel to `COEFFICIENTS`."""
        pitch, gaps = self._pitch, None if self._packing is None else self._packing.gaps()
        return [
            Stage("pitch", (MEL,), lambda mel: torch.stack(pitch.pitch(mel, gaps), dim=1), *pitch.context),
            Stage(SOURCE, ("pitch", MEL), self, after=1, stateful=True),  # the pitch is interpolated between frames
            Stage(COEFFICIENTS, (SOURCE,), transform, 1, 1),
        ]

    @torch.no_grad()
    def __call__(self, span: Span, pitch: Tensor, mel: Tensor) -> Tensor:
        """Return the wanted source (B, 1, T), given f0 in Hz and voicing (B, 2, frames), in the dtype of the mel."""
        if self._packing is not None:
            pitch = pitch[:, :, self._packing.held]
        device = torch.device("cpu") if mel.device.type == "mps" else mel.device  # the phase needs float64
        f0, voicing = pitch.to(device, mel.dtype).unbind(dim=1)
        passed = passed_cycles(f0, *self._shape)
        if self._cycles is not None:
            passed = passed + self._cycles
        self._cycles = torch.remainder(passed[:, span.stop - span.start - 1 : span.stop - span.start], 1.0)
        if self._packing is not None:
            passed = self._packing.restarted(passed)
        source = harmonic_source(f0, voicing, *self._shape, self._f_max, passed)
        return frames_of(source.unsqueeze(1), span).to(mel.device)


def harmonic_source(
    f0: Tensor, voicing: Tensor, hop_length: int, sample_rate: int, f_max: float, passed: Tensor | None = None
) -> Tensor:
    """Return a band-limited pulse train with the given pitch, as flat and as strong as white noise of variance 1.

    All harmonics of f0 below `f_max` are cosines of equal amplitude 2 * sqrt(f0 / sample_rate), in phase with the
    integral of f0 since the start, so the source is continuous at frame boundaries. The sum is the closed form of the
    Dirichlet kernel; one more harmonic fades out as f0 moves it from `f_max` to `f_max` + f0. (Such a source for a
    neural vocoder: Wang et al., "Neural source-filter waveform models", 2019.)

    f0 (B, frames) in Hz must be positive in unvoiced frames too; frame n is at sample n * hop_length. `voicing` (B,
    frames) in [0, 1] is the gain of the source. `passed` (B, frames) is the number of periods of f0 up to the end of
    each frame, by default `passed_cycles`. The source is (B, frames * hop_length).
    """
    passed = passed_cycles(f0, hop_length, sample_rate) if passed is None else passed
    compiled = kernel("harmonics", "harmonic_source") if compilable(f0) else None
    if compiled is not None:
        x = f0.new_empty(f0.shape[0], f0.shape[1] * hop_length)
        compiled(f0.numel(), sample_rate, f_max, *[tensor.contiguous() for tensor in (f0, voicing, passed, x)])
        return x
    within = _sums(f0, range(1, hop_length + 1), hop_length) / sample_rate
    # The rounding of a running sum depends on how many frames it covers. Rounding the start of each frame to a multiple
    # of 2**-28 periods removes that dependence.
    before = torch.round((passed[:, :, None] - within[:, :, -1:]) * 2.0**28) * 2.0**-28
    cycles = torch.remainder(before + within, 1.0).flatten(1)
    cycles = cycles - torch.round(cycles)
    f0_t = torch.exp(at_sample_rate(torch.log(f0), hop_length))
    highest = f_max / f0_t
    count = torch.floor(highest)
    half = torch.sin(math.pi * cycles.to(f0.dtype))
    safe = torch.where(half.abs() < 1e-4, torch.ones_like(half), half)
    pulses = torch.where(half.abs() < 1e-4, count, torch.sin(_angle(count + 0.5, cycles)) / (2 * safe) - 0.5)
    pulses = pulses + (highest - count) * torch.cos(_angle(count + 1, cycles))
    return pulses * (2 * torch.sqrt(f0_t / sample_rate)) * at_sample_rate(voicing, hop_length)


def _angle(count: Tensor, cycles: Tensor) -> Tensor:
    """Return `count` times the phase as an angle in -pi..pi, in float64, since float32 would be too coarse."""
    turns = count.double() * cycles
    return 2 * math.pi * (turns - torch.round(turns)).to(count.dtype)


def passed_cycles(f0: Tensor, hop_length: int, sample_rate: int) -> Tensor:
    """Return the number of periods of f0 (B, frames) up to the end of each frame: (B, frames) in float64."""
    return torch.cumsum(_sums(f0, range(hop_length, hop_length + 1), hop_length).squeeze(2) / sample_rate, dim=1)


def at_sample_rate(frames: Tensor, hop_length: int) -> Tensor:
    """Interpolate frame values (B, frames) linearly to samples (B, frames * hop_length), holding the last one."""
    following = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
    fraction = torch.arange(hop_length, dtype=frames.dtype, device=frames.device) / hop_length
    return torch.lerp(frames[:, :, None], following[:, :, None], fraction).flatten(1)


def _sums(f0: Tensor, numbers: range, hop_length: int) -> Tensor:
    """Sum f0 over the first n samples of each frame, for n in `numbers`: (B, frames, len(numbers)) in float64.

    The logarithm of f0 (B, frames) is linear between two frames, so these are sums of geometric series.
    """
    log_f0 = f0.double().log()
    step = (torch.cat([log_f0[:, 1:], log_f0[:, -1:]], dim=1) - log_f0)[:, :, None] / hop_length
    counts = torch.arange(numbers.start, numbers.stop, device=f0.device, dtype=torch.float64)
    still = step.abs() < 1e-12
    step = torch.where(still, torch.ones_like(step), step)
    ratio = torch.expm1(counts * step) / torch.expm1(step)
    return f0.double()[:, :, None] * torch.where(still, counts, ratio)


class Excitation(nn.Module):
    """Mixes white noise and a harmonic source into `z` (B, C, steps), with gains that depend on the mel.

    Sampling a flow at one temperature for all frequencies is a compromise: it leaves noise between the harmonics of
    voiced speech, or removes the breath from unvoiced speech. Here the temperature of each channel and frame is
    learned, and the harmonic part of `z` has a coherent phase, which white noise lacks. The density does not change:
    `z` of given audio is still scored by the standard normal.

    `mixing` (C, C) is the initial map from the source's channels to those of `z`, `floor` the smallest noise gain.
    """

    def __init__(self, cond_channels: int, channels: int, mixing: Tensor, floor: float = 0.0) -> None:
        super().__init__()
        self.floor = floor
        self.gains = FrameConv(cond_channels, 2 * channels, 3)
        nn.init.normal_(self.gains.weight, std=0.01)
        nn.init.zeros_(self.gains.bias)
        self.mixing = nn.Parameter(mixing.to(torch.get_default_dtype()) / MIXING_STEP_SCALE)
        self._kept: Kept[Matrix] = Kept()

    def forward(self, source: Tensor, noise: Tensor, gains: Tensor, sigma: float | Tensor) -> Tensor:
        """Map source and noise, both (B, C, steps), to z (B, C, steps); `sigma` scales the noise alone."""
        shift, scale = self.shift_and_scale(source, gains, sigma)
        return shift + scale * noise

    def stages(self, source: list[Stage], sigma: float | Tensor) -> list[Stage]:
        """Return the stages from noise and `CONDITION` to `Z`, after those of the source."""
        reach = self.gains.kernel_size[0] // 2
        return [
            *source,
            Stage(GAINS, (CONDITION,), self.gains_of, reach, reach),
            Stage(Z, (COEFFICIENTS, NOISE, GAINS), partial(self, sigma=sigma)),
        ]

    def gains_of(self, cond: Tensor) -> Tensor:
        """Return the gains (B, 2 * C, frames) of source and noise, 0 to 1."""
        gains: Tensor = self.gains(cond).sigmoid()
        return gains

    def shift_and_scale(self, source: Tensor, gains: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of z, both (B, C, steps), for a source (B, C, steps) and its gains."""
        steps = source.shape[2] // gains.shape[2]
        gains = gains if steps == 1 else gains.repeat_interleave(steps, dim=2)
        harmonic, random = gains.chunk(2, dim=1)
        rows = (2 * harmonic * source).transpose(1, 2)
        if self.mixing.requires_grad or not takes(rows):
            mixed = rows @ self._matrix()
        else:
            mixed = self._kept.of((self.mixing,), lambda: Matrix(self._matrix())).times(rows.contiguous())
        return mixed.transpose(1, 2), sigma * (self.floor + 1.4 * random)

    def _matrix(self) -> Tensor:
        return MIXING_STEP_SCALE * self.mixing.t()
