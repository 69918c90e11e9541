"""The choice of how to generate."""

from __future__ import annotations

import warnings
from typing import Protocol

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.generation.plan import Feedback, Plan
from vocoder.generation.stepwise import StepwiseGenerator
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

    Where numba cannot compile, the plain loop takes its place with a warning.
    """
    like = stack.step_weights().start[0]
    plain = like.device.type != "cpu" or dtype != torch.float32 or like.dtype != torch.float32
    if plain or not isinstance(distribution, Gaussian):
        return StepwiseGenerator(stack, distribution, feedback, plan)
    try:
        from vocoder.generation.compiled import CompiledGenerator  # numba takes a second to import

        return CompiledGenerator(stack, distribution, feedback, plan)
    except Exception as error:  # whatever compilers and their libraries may raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(
            f"numba cannot compile the generation of samples here ({reason}): a loop 25 times as slow takes its place",
            RuntimeWarning,
            stacklevel=2,
        )
        return StepwiseGenerator(stack, distribution, feedback, plan)
