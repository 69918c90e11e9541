"""The gated WaveNet stack that teacher, student and couplings share; the rest of the project imports it from here."""

from vocoder.layers.stack.published import PublishedStack, PublishedStackConfig
from vocoder.layers.stack.steps import StackStepper, gate_offsets
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack, set_compute_dtype, set_recompute
from vocoder.layers.stack.weights import CausalStack, StackWeights, as_matrix

__all__ = [
    "CausalStack",
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
