"""The choice of how to generate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from vocoder.autoregressive.compiled import CompiledGenerator, loop_weights
from vocoder.autoregressive.plan import Feedback, Plan
from vocoder.autoregressive.stepwise import StepwiseGenerator
from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.kernels.launcher import kernel
from vocoder.layers.stack import CausalStack

Generator: TypeAlias = Callable[[Plan, Tensor], tuple[Tensor, Tensor]]
"""from the plan of the next samples and their noise (B, T) to these, x (B, T), and log |dx / dz| of each"""


def generator(
    stack: CausalStack, distribution: Distribution, feedback: Feedback, plan: Plan, dtype: torch.dtype
) -> Generator:
    """Return the fastest generator: compiled for Gaussians in float32 on the CPU, a plain loop for the rest.

    Where numba cannot compile, the plain loop, 25 times as slow, takes its place. The plan is of the first samples.
    """
    like = stack.weights().start[0]
    plain = like.device.type != "cpu" or dtype != torch.float32 or like.dtype != torch.float32
    if not plain and isinstance(distribution, Gaussian):
        weights = loop_weights(stack.weights(), rounded=stack.compute_dtype == torch.bfloat16)
        run = kernel("generation", "generated", weights[2].dtype)
        if run is not None:
            return CompiledGenerator(run, weights, stack, distribution, feedback, plan)
    return StepwiseGenerator(stack, distribution, feedback, plan)
