"""Generation by tensor operations: a plain loop for any device and precision, and captured CUDA graphs of its steps."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution
from vocoder.generation.plan import BLOCK, Feedback, Plan, Progress
from vocoder.layers.stack import CausalStack, StackStepper

__all__ = ["GraphGenerator", "StepwiseGenerator"]


class StepwiseGenerator:
    """Generate sample by sample, a batch at once.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        feedback: what the stack hears of the samples before.
        plan: the condition's share.
    """

    def __init__(self, stack: CausalStack, distribution: Distribution, feedback: Feedback, plan: Plan) -> None:
        batch, weights = plan.cond.shape[0], stack.step_weights()
        like = weights.start[0].new_zeros(())
        self._stack, self._distribution, self._feedback = stack, distribution, feedback
        self._stepper = StackStepper(weights, feedback.channels, batch)
        self._progress = Progress(plan)
        blocks = BLOCK * plan.hop_length // plan.block_length
        shares = stack.gate_shares(plan.cond[:, :, :1], batch)
        self._gates = like.new_zeros(BLOCK, *shares[:, 0].transpose(0, 1).shape)
        self._coefficients = like.new_zeros(blocks, batch, plan.order)
        self._log_gain = like.new_zeros(blocks, batch)
        self._hop_length, self._block_length = plan.hop_length, plan.block_length
        self._now = torch.zeros(1, dtype=torch.int64, device=like.device)  # sample of the present part of the plan
        self._history = like.new_zeros(batch, max(plan.order, 1))  # the latest sample first
        self._excitation = like.new_zeros(batch)

    @torch.no_grad()
    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        made = []
        for block in self._progress.take(z.shape[1]):
            if block.plan is not None:
                self._enter(block.plan)
            made.append(self._made(z[:, block.taken]))
        return torch.cat([x for x, _ in made], dim=1), torch.cat([stretch for _, stretch in made], dim=1)

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""
        self._progress.follow(plan)

    def step(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate one sample x (B,) from noise z (B,), and log |dx / dz| of it."""
        block = self._now // self._block_length
        log_gain = self._log_gain.index_select(0, block)[0]
        coefficients = self._coefficients.index_select(0, block)[0]
        gain, before = torch.exp(log_gain), self._history[:, 0]
        prediction = (coefficients * self._history).sum(1) if coefficients.shape[1] else torch.zeros_like(gain)
        heard = [signal[:, None] for signal in (self._excitation, before / gain, prediction / gain)]
        gates = self._gates.index_select(0, self._now // self._hop_length)[0]
        raw = self._stepper(self._feedback.inputs(*heard)[:, :, 0], gates)[:, :, None]
        params = self._distribution.place(raw, prediction[:, None], log_gain[:, None])
        made, stretch = self._distribution.inverse(params, z[:, None].to(params.dtype))
        x = self._feedback.clamped(made[:, 0], prediction, gain)
        self._excitation.copy_((x - prediction) / gain)
        self._history.copy_(torch.cat([x[:, None], self._history[:, :-1]], dim=1))
        self._now += 1
        return x, stretch[:, 0]

    @property
    def state(self) -> list[Tensor]:
        """Everything that a step changes."""
        return [self._now, self._history, self._excitation, *self._stepper.state]

    def _enter(self, plan: Plan) -> None:
        """Take the next part of the plan, in the memory of the last one."""
        gates = self._stack.gate_shares(plan.cond, plan.cond.shape[0])
        self._gates[: gates.shape[1]] = gates.permute(1, 2, 0, 3)
        self._coefficients[: plan.coefficients.shape[1]] = plan.coefficients.transpose(0, 1)
        self._log_gain[: plan.log_gain.shape[1]] = plan.log_gain.T
        self._now.zero_()

    def _made(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate samples that all lie in the present part of the plan."""
        steps = [self.step(z[:, t]) for t in range(z.shape[1])]
        return torch.stack([x for x, _ in steps], dim=1), torch.stack([stretch for _, stretch in steps], dim=1)


STEPS = 16
"""samples of one graph"""
WARM_UP_STEPS = 3


class GraphGenerator(StepwiseGenerator):
    """Generate on a CUDA device, some steps at a time, as one graph.

    A step is some hundred small kernels, whose launches take the host longer than the device needs to run them.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        feedback: what the stack hears of the samples before.
        plan: the condition's share.
    """

    def __init__(self, stack: CausalStack, distribution: Distribution, feedback: Feedback, plan: Plan) -> None:
        super().__init__(stack, distribution, feedback, plan)
        self._noise = self._excitation.new_zeros(STEPS, plan.cond.shape[0])
        self._x, self._stretch = torch.zeros_like(self._noise), torch.zeros_like(self._noise)
        self._graph = self._captured()

    def _made(self, z: Tensor) -> tuple[Tensor, Tensor]:
        whole = z.shape[1] - z.shape[1] % STEPS
        xs, stretches = [], []
        for chunk in torch.split(z[:, :whole].T, STEPS):
            self._noise.copy_(chunk)
            self._graph.replay()
            xs.append(self._x.T.clone())
            stretches.append(self._stretch.T.clone())
        if whole < z.shape[1]:
            x, stretch = super()._made(z[:, whole:])
            xs.append(x)
            stretches.append(stretch)
        return torch.cat(xs, dim=1), torch.cat(stretches, dim=1)

    @torch.no_grad()
    def _captured(self) -> torch.cuda.CUDAGraph:
        """Record the steps, and put the state back to what it was."""
        kept = [tensor.clone() for tensor in self.state]
        stream = torch.cuda.Stream(self._noise.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._noise.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._record(1)
        torch.cuda.current_stream(self._noise.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._record(STEPS)
        for tensor, value in zip(self.state, kept, strict=True):
            tensor.copy_(value)
        return graph

    def _record(self, steps: int) -> None:
        for t in range(steps):
            x, stretch = self.step(self._noise[t])
            self._x[t].copy_(x)
            self._stretch[t].copy_(stretch)
