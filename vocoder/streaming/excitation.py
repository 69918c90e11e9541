"""The stages of a noise with a harmonic source."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vocoder.flows.base import Flow
from vocoder.layers.source.excitation import Excitation
from vocoder.layers.source.harmonics import elapsed_cycles, harmonic_source
from vocoder.layers.source.pitch import PitchNet
from vocoder.streaming.pipeline import MEL, NOISE
from vocoder.streaming.stage import Span, Stage, frames_of, windowed

__all__ = ["excitation_stages"]


def excitation_stages(
    pitch: PitchNet,
    transform: Flow,
    excitation: Excitation,
    sigma: float,
    source: tuple[int, int, float],
    names: tuple[str, str],
) -> list[Stage]:
    """Return the stages from mel, noise and condition to `z`.

    Args:
        pitch: reads f0 and voicing from the mel.
        transform: the lapped transform.
        excitation: mixes source and noise.
        sigma: sampling temperature.
        source: hop_length, sample_rate and f_max of the harmonic source.
        names: of the condition and of `z`.
    """
    condition, z = names
    reach = excitation.gains.kernel_size[0] // 2

    def excite(coefficients: Tensor, noise: Tensor, cond: Tensor) -> Tensor:
        mixed: Tensor = excitation(coefficients, noise, cond, sigma)
        return mixed

    return [
        Stage("pitch", (MEL,), windowed(partial(_pitch, pitch)), pitch.context, pitch.context),
        Stage("source", ("pitch", MEL), _Source(*source), after=1),  # between two frames the pitch is interpolated
        Stage("coefficients", ("source",), windowed(lambda x: transform(x)[0]), 1, 1),
        Stage(z, ("coefficients", NOISE, condition), windowed(excite), reach, reach),
    ]


def _pitch(net: PitchNet, mel: Tensor) -> Tensor:
    return torch.stack(net.pitch(mel), dim=1)


class _Source:
    """The harmonic source frame by frame; the phase at the last sample so far is all that it remembers."""

    def __init__(self, hop_length: int, sample_rate: int, f_max: float) -> None:
        self._hop_length = hop_length
        self._sample_rate = sample_rate
        self._f_max = f_max
        self._cycles: Tensor | None = None

    def __call__(self, span: Span, pitch: Tensor, mel: Tensor) -> Tensor:
        f0, voicing = pitch.unbind(dim=1)
        hop, rate = self._hop_length, self._sample_rate
        cycles = elapsed_cycles(f0, hop, rate, self._cycles)
        self._cycles = torch.remainder(cycles[:, (span.stop - span.start) * hop - 1], 1.0)
        source = harmonic_source(f0, voicing, hop, rate, self._f_max, cycles)
        return frames_of(source.to(mel.dtype).unsqueeze(1), span)
