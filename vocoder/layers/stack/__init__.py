"""The gated WaveNet stack that teacher, student and couplings share; the rest of the project imports it from here."""

from vocoder.layers.stack.plain import StackStepper, StackWeights, as_matrix, gate_offsets
from vocoder.layers.stack.wavenet import (
    PublishedStack,
    PublishedStackConfig,
    WaveNetConfig,
    WaveNetStack,
    set_compute_dtype,
    set_recompute,
)

__all__ = [
    "PublishedStack",
    "PublishedStackConfig",
    "StackStepper",
    "StackWeights",
    "WaveNetConfig",
    "WaveNetStack",
    "as_matrix",
    "gate_offsets",
    "set_compute_dtype",
    "set_recompute",
]
