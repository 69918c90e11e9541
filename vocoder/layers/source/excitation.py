"""The learned source of a sample's noise: where it is harmonic, and how loud its noise is."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.kernels.eligible import takes
from vocoder.layers.kept import Kept
from vocoder.layers.product import FrameConv
from vocoder.layers.source.harmonics import HarmonicSource
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.stack import Matrix
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, Stage, Z, windowed

COEFFICIENTS, SOURCE, GAINS = "coefficients", "source", "gains"
"""signals of the stages: the harmonic source after and before the transform of the flow, and the mixture's gains"""

Transform = Callable[[Tensor], tuple[Tensor, Tensor]]
"""between audio (B, 1, T) and coefficients (B, C, steps) that reach a frame to each side, with their log-determinant"""

MIXING_STEP_SCALE = 0.1  # stored larger than it acts, like the flow's matrices, so that Adam moves it less


class Excitation(nn.Module):
    """Mix white noise and a harmonic source into `z` (B, C, steps), with gains that depend on the mel.

    Sampling a flow at one temperature for all frequencies is a compromise: it leaves noise between the harmonics of
    voiced speech, or takes the breath from the unvoiced. Here the temperature of each channel and frame is learned,
    and the harmonic part of `z` is given a coherent phase that no white noise has. The density does not change: `z`
    of given audio is scored by the standard normal as always.

    `mixing` (C, C) is the first value of the map of the source's channels to those of `z`, `floor` the least gain of
    the noise.
    """

    def __init__(self, cond_channels: int, channels: int, mixing: Tensor, floor: float = 0.0) -> None:
        super().__init__()
        self.floor = floor
        self.gains = FrameConv(cond_channels, 2 * channels, 3)
        nn.init.normal_(self.gains.weight, std=0.01)
        nn.init.zeros_(self.gains.bias)  # type: ignore[arg-type]
        self.mixing = nn.Parameter(mixing.to(torch.get_default_dtype()) / MIXING_STEP_SCALE)
        self._kept: Kept[Matrix] = Kept()

    def forward(self, source: Tensor, noise: Tensor, gains: Tensor, sigma: float | Tensor) -> Tensor:
        """Map source and noise, both (B, C, steps), to z (B, C, steps); `sigma` scales the noise alone."""
        shift, scale = self.shift_and_scale(source, gains, sigma)
        return shift + scale * noise

    def gains_of(self, cond: Tensor) -> Tensor:
        """Return the gains of source and noise, from 0 to 1, (B, 2 * C, frames)."""
        gains: Tensor = self.gains(cond).sigmoid()
        return gains

    def shift_and_scale(self, source: Tensor, gains: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of z, both (B, C, steps), for a source (B, C, steps) and its gains."""
        steps = source.shape[2] // gains.shape[2]
        gains = gains if steps == 1 else gains.repeat_interleave(steps, dim=2)
        harmonic, random = gains.chunk(2, dim=1)
        return self._mixed(2 * harmonic * source), sigma * (self.floor + 1.4 * random)

    def _mixed(self, source: Tensor) -> Tensor:
        rows = source.transpose(1, 2)
        if self.mixing.requires_grad or not takes(rows):
            return (rows @ self._matrix()).transpose(1, 2)
        return self._kept.of((self.mixing,), lambda: Matrix(self._matrix())).times(rows.contiguous()).transpose(1, 2)

    def _matrix(self) -> Tensor:
        return MIXING_STEP_SCALE * self.mixing.t()


def excitation_stages(
    pitch: PitchNet,
    source: HarmonicSource,
    transform: Transform,
    excitation: Excitation,
    condition: str,
    sigma: float | Tensor,
    packing: Packing | None = None,
) -> list[Stage]:
    """Return the stages from mel, noise and the signal `condition` to `Z`."""
    reach = excitation.gains.kernel_size[0] // 2
    return [
        *source_stages(pitch, source, transform, packing),
        Stage(GAINS, (condition,), windowed(excitation.gains_of), reach, reach),
        Stage(Z, (COEFFICIENTS, NOISE, GAINS), windowed(partial(excitation, sigma=sigma))),
    ]


def source_stages(
    pitch: PitchNet, source: HarmonicSource, transform: Transform, packing: Packing | None = None
) -> list[Stage]:
    """Return the stages from the mel to `COEFFICIENTS`."""
    gaps = None if packing is None else packing.gaps()

    def read(mel: Tensor) -> Tensor:
        return torch.stack(pitch.pitch(mel, gaps), dim=1)

    return [
        Stage("pitch", (MEL,), windowed(read), *pitch.context),
        Stage(SOURCE, ("pitch", MEL), source, after=1),  # between two frames the pitch is interpolated
        Stage(COEFFICIENTS, (SOURCE,), windowed(transform), 1, 1),
    ]
