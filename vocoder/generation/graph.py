"""Generation by a captured CUDA graph: the host launches hundreds of steps with one call."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution
from vocoder.generation.plan import Plan
from vocoder.generation.stepwise import StepwiseGenerator
from vocoder.layers.stack import WaveNetStack

__all__ = ["GraphGenerator"]

WARM_UP_STEPS = 3


class GraphGenerator(StepwiseGenerator):
    """Generate on a CUDA device, some steps at a time, as one graph.

    A step is some hundred small kernels, whose launches take the host longer than the device needs to run them.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        plan: the condition's share.
        steps: samples of one graph.
    """

    def __init__(self, stack: WaveNetStack, distribution: Distribution, plan: Plan, steps: int = 16) -> None:
        super().__init__(stack, distribution, plan)
        self._noise = plan.gates.new_zeros(steps, plan.gates.shape[0])
        self._x, self._stretch = torch.zeros_like(self._noise), torch.zeros_like(self._noise)
        self._graph = self._captured()

    @torch.no_grad()
    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        steps = len(self._noise)
        whole = z.shape[1] - z.shape[1] % steps
        xs, stretches = [], []
        for chunk in torch.split(z[:, :whole].T, steps):
            self._noise.copy_(chunk)
            self._graph.replay()
            xs.append(self._x.T.clone())
            stretches.append(self._stretch.T.clone())
        if whole < z.shape[1]:
            x, stretch = super().advance(z[:, whole:])
            xs.append(x)
            stretches.append(stretch)
        return torch.cat(xs, dim=1), torch.cat(stretches, dim=1)

    @torch.no_grad()
    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames.

        The graph reads the plan where the first one lay: one of as many frames is copied there, for another the steps
        are recorded anew.
        """
        places = (self._gates, self._coefficients, self._log_gain)
        super().follow(plan)
        if self._gates.shape != places[0].shape:
            self._graph = self._captured()
            return
        for place, new in zip(places, (self._gates, self._coefficients, self._log_gain), strict=True):
            place.copy_(new)
        self._gates, self._coefficients, self._log_gain = places

    @torch.no_grad()
    def _captured(self) -> torch.cuda.CUDAGraph:
        """Record the steps, and put the state back to what it was."""
        kept = [tensor.clone() for tensor in self.state()]
        stream = torch.cuda.Stream(self._noise.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._noise.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._record(1)
        torch.cuda.current_stream(self._noise.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._record(len(self._noise))
        for tensor, value in zip(self.state(), kept, strict=True):
            tensor.copy_(value)
        return graph

    def _record(self, steps: int) -> None:
        for t in range(steps):
            x, stretch = self.step(self._noise[t])
            self._x[t].copy_(x)
            self._stretch[t].copy_(stretch)
