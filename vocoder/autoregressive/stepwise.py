"""Generation by tensor operations: a plain loop for any device, precision and distribution."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.autoregressive.plan import Feedback, Plan, Progress
from vocoder.distributions.base import Distribution
from vocoder.layers.stack import CausalStack, StackStepper, gate_offsets

__all__ = ["StepwiseGenerator"]


class StepwiseGenerator:
    """Generate sample by sample, a batch at once.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        feedback: what the stack sees of the samples before.
        plan: the condition's share.
    """

    def __init__(self, stack: CausalStack, distribution: Distribution, feedback: Feedback, plan: Plan) -> None:
        batch, weights = plan.cond.shape[0], stack.weights()
        like = weights.start[0].new_zeros(())
        self._stack, self._distribution, self._feedback = stack, distribution, feedback
        self._stepper = StackStepper(weights, batch)
        self._progress = Progress(plan)
        self._history = like.new_zeros(batch, max(plan.order, 1))  # the latest sample first
        self._excitation = like.new_zeros(batch)
        self._enter(plan.of(0, 1))

    @torch.no_grad()
    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        made = []
        for block in self._progress.take(z.shape[1]):
            if block.plan is not None:
                self._enter(block.plan)
            noise = z[:, block.taken].unbind(1)
            made += [self._step(value, number) for number, value in enumerate(noise, start=block.first)]
        if not made:
            return z[:, :0], z[:, :0]
        return torch.stack([x for x, _ in made], dim=1), torch.stack([stretch for _, stretch in made], dim=1)

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""
        self._progress.follow(plan)

    def _enter(self, plan: Plan) -> None:
        """Take the next part of the plan."""
        self._plan = plan
        self._offsets = gate_offsets(self._stack, plan.cond, plan.cond.shape[0])

    def _step(self, z: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Generate sample `number` of the present part of the plan, x (B,) from noise z (B,), and log |dx / dz|."""
        plan, block = self._plan, number // self._plan.block_length
        log_gain, coefficients = plan.log_gain[:, block], plan.coefficients[:, block]
        gain, before = torch.exp(log_gain), self._history[:, 0]
        prediction = (coefficients * self._history).sum(1) if plan.order else torch.zeros_like(gain)
        heard = [signal[:, None] for signal in (self._excitation, before / gain, prediction / gain)]
        raw = self._stepper(self._feedback.inputs(*heard)[:, :, 0], self._offsets[number // plan.hop_length])
        params = self._distribution.place(raw[:, :, None], prediction[:, None], log_gain[:, None])
        made, stretch = self._distribution.inverse(params, z[:, None].to(params.dtype))
        x = self._feedback.clamped(made[:, 0], prediction, gain)
        self._excitation = (x - prediction) / gain
        self._history = torch.cat([x[:, None], self._history[:, :-1]], dim=1)
        return x, stretch[:, 0]
