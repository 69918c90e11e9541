"""The gated WaveNet stack that teacher, student and couplings share; the rest of the project imports it from here."""

from vocoder.layers.stack.matrix import Matrix, takes
from vocoder.layers.stack.precision import default_dtype
from vocoder.layers.stack.stepping import Affine, CausalStack, StackStepper, StepWeights, as_matrix
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack, set_compute_dtype, set_recompute

__all__ = [
    "Affine",
    "CausalStack",
    "Matrix",
    "StackStepper",
    "StepWeights",
    "WaveNetConfig",
    "WaveNetStack",
    "as_matrix",
    "default_dtype",
    "set_compute_dtype",
    "set_recompute",
    "takes",
]
