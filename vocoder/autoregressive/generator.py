"""The choice of how to generate, and a plain loop for any device, precision and distribution."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from vocoder.autoregressive.compiled import CompiledGenerator, loop_weights
from vocoder.autoregressive.plan import Feedback, Plan
from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.kernels.launcher import kernel
from vocoder.layers.stack import CausalStack, StackStepper, gate_offsets

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


class StepwiseGenerator:
    """Generate sample by sample, a batch at once; the plan is that of the first samples."""

    def __init__(self, stack: CausalStack, distribution: Distribution, feedback: Feedback, plan: Plan) -> None:
        (batch, _, order), like = plan.coefficients.shape, stack.weights().start[0]
        self._stack, self._distribution, self._feedback = stack, distribution, feedback
        self._stepper = StackStepper(stack.weights(), batch)
        self._history = like.new_zeros(batch, order)  # the latest sample first
        self._excitation = like.new_zeros(batch)

    @torch.no_grad()
    def __call__(self, plan: Plan, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) of noise z (B, T) and their plan, and log |dx / dz| of each."""
        offsets = gate_offsets(self._stack, plan.cond, len(z))
        made = [
            self._step(plan, t // plan.block_length, offsets[t // plan.hop_length], z[:, t : t + 1])
            for t in range(z.shape[1])
        ]
        return torch.cat([x for x, _ in made], dim=1), torch.cat([stretch for _, stretch in made], dim=1)

    def _step(self, plan: Plan, block: int, offsets: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate one sample x (B, 1) of noise z (B, 1), and log |dx / dz|, both (B, 1)."""
        log_gain, coefficients = plan.log_gain[:, block], plan.coefficients[:, block]
        gain, before = torch.exp(log_gain), self._history[:, 0]
        prediction = (coefficients * self._history).sum(1)
        heard = [signal[:, None] for signal in (self._excitation, before / gain, prediction / gain)]
        raw = self._stepper(self._feedback.inputs(*heard)[:, :, 0], offsets)
        params = self._distribution.place(raw[:, :, None], prediction[:, None], log_gain[:, None])
        made, stretch = self._distribution.inverse(params, z.to(params.dtype))
        bound = self._feedback.limit * gain
        x = made[:, 0].clamp(prediction - bound, prediction + bound)
        self._excitation = (x - prediction) / gain
        self._history = torch.cat([x[:, None], self._history[:, :-1]], dim=1)
        return x[:, None], stretch
