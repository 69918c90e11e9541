"""Generation by a captured CUDA graph: the host launches hundreds of steps with one call."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution
from vocoder.generation.feedback import Feedback
from vocoder.generation.plan import Plan
from vocoder.generation.stepwise import StepwiseGenerator
from vocoder.layers.stack import CausalStack

__all__ = ["GraphGenerator"]

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
