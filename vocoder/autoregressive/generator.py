"""The choice of how to generate."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vocoder.autoregressive.compiled import CompiledGenerator, loop_weights
from vocoder.autoregressive.plan import Feedback, Plan
from vocoder.autoregressive.stepwise import StepwiseGenerator
from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.kernels.launcher import kernel
from vocoder.layers.stack import CausalStack

__all__ = ["Generator", "generator"]


class Generator(Protocol):
    """A position in a batch of utterances: what was generated so far is remembered."""

    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""


def generator(
    stack: CausalStack, distribution: Distribution, feedback: Feedback, plan: Plan, dtype: torch.dtype
) -> Generator:
    """Return the fastest generator: compiled for Gaussians in float32 on the CPU, a plain loop for the rest.

    Where numba cannot compile, the plain loop, 25 times as slow, takes its place.
    """
    like = stack.weights().start[0]
    plain = like.device.type != "cpu" or dtype != torch.float32 or like.dtype != torch.float32
    if not plain and isinstance(distribution, Gaussian):
        weights = loop_weights(stack.weights(), rounded=stack.compute_dtype == torch.bfloat16)
        run = kernel("generation", "generated", weights[2].dtype)
        if run is not None:
            return CompiledGenerator(run, weights, stack, distribution, feedback, plan)
    return StepwiseGenerator(stack, distribution, feedback, plan)
