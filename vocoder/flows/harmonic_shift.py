"""The mean that a harmonic source gives to the noise of a flow over samples."""

import torch
from torch import Tensor, nn

from vocoder.flows.coupling import soft_clip
from vocoder.flows.lapped import LappedTransform
from vocoder.layers.conditioning import PitchNet
from vocoder.layers.source import COEFFICIENTS, GAINS, HarmonicSource, source_stages
from vocoder.stages import CONDITION, Stage, windowed

SHIFT = "shift"
"""signal of the stages: what is added to white noise"""

GAIN_BOUND = 4.0  # nepers: from inaudible beside the noise to 35 dB above it


class HarmonicShift(nn.Module):
    """Shape a harmonic source by gains of each band and frame that the condition (B, cond_channels, frames) gives.

    The gains act on the coefficients of a lapped transform, which turns them back into samples. White noise around
    this mean stays white and independent of it, so that each sample of the flow keeps a conditional in closed form:
    its mean alone changes.
    """

    def __init__(self, cond_channels: int, hop_length: int) -> None:
        super().__init__()
        self.transform = LappedTransform(hop_length)
        self.log_gain = nn.Conv1d(cond_channels, hop_length, 3, padding=1)
        nn.init.normal_(self.log_gain.weight, std=0.01)
        nn.init.zeros_(self.log_gain.bias)  # type: ignore[arg-type]

    def gains_of(self, cond: Tensor) -> Tensor:
        """Return the gain of each band, (B, hop_length, frames)."""
        return torch.exp(soft_clip(self.log_gain(cond), GAIN_BOUND))

    def forward(self, coefficients: Tensor, gains: Tensor) -> Tensor:
        """Return the mean of the noise (B, 1, T) for coefficients of the source and their gains."""
        return self.transform.inverse(coefficients * gains)[0]


def shift_stages(pitch: PitchNet, source: HarmonicSource, shift: HarmonicShift) -> list[Stage]:
    """Return the stages from the mel and `CONDITION` to `SHIFT`."""
    reach = shift.log_gain.kernel_size[0] // 2
    return [
        *source_stages(pitch, source, shift.transform),
        Stage(GAINS, (CONDITION,), windowed(shift.gains_of), reach, reach),
        Stage(SHIFT, (COEFFICIENTS, GAINS), windowed(shift), 1, 1),
    ]
