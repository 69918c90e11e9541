"""Generation by plain tensor operations: the slow way, for any device and precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.distributions.base import Distribution
from vocoder.generation.plan import Plan
from vocoder.layers.stack import WaveNetStack

__all__ = ["StepwiseGenerator"]


class StepwiseGenerator:
    """Generate sample by sample, a batch at once.

    Even the number of the current sample is a tensor, and all state changes in place: a step is the same operations
    on the same memory every time, which is what a CUDA graph records.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        plan: the condition's share.
    """

    def __init__(self, stack: WaveNetStack, distribution: Distribution, plan: Plan) -> None:
        self.distribution = distribution
        self.dilations, self.past = stack.config.dilations, stack.config.kernel_size - 1
        like, batch = plan.gates.new_zeros(()), plan.gates.shape[0]
        self._start, self._end = _matrix(stack.start), _matrix(stack.end)
        self._in = [_matrix(layer)[0] for layer in stack.in_layers]
        self._res_skip = [_matrix(layer) for layer in stack.res_skip_layers]
        self._hop_length, self._block_length, self._order = plan.hop_length, plan.block_length, plan.order
        self._gates, self._coefficients, self._log_gain = _by_time(plan)
        self._time = torch.zeros(1, dtype=torch.int64, device=plan.gates.device)
        self._start_of_plan = torch.zeros_like(self._time)
        self._rings = [like.new_zeros(self.past * d, batch, stack.config.channels) for d in self.dilations]
        self._history = like.new_zeros(batch, max(plan.order, 1))  # the latest sample first
        self._excitation = like.new_zeros(batch)

    @torch.no_grad()
    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        steps = [self.step(z[:, t]) for t in range(z.shape[1])]
        return torch.stack([x for x, _ in steps], dim=1), torch.stack([stretch for _, stretch in steps], dim=1)

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""
        self._start_of_plan.copy_(self._time)
        self._gates, self._coefficients, self._log_gain = _by_time(plan)

    @torch.no_grad()
    def feed(self, x: Tensor) -> Tensor:
        """Follow given samples x (B, T), and return the parameters (B, K, T) of their distributions."""
        params = []
        for t in range(x.shape[1]):
            current, prediction, log_gain = self._conditional()
            params.append(current)
            self._append(x[:, t], prediction, log_gain)
        return torch.cat(params, dim=2)

    def step(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate one sample x (B,) from noise z (B,), and log |dx / dz| of it."""
        params, prediction, log_gain = self._conditional()
        x, stretch = self.distribution.inverse(params, z[:, None].to(params.dtype))
        self._append(x[:, 0], prediction, log_gain)
        return x[:, 0], stretch[:, 0]

    def state(self) -> list[Tensor]:
        """Return everything that a step changes."""
        return [self._time, self._history, self._excitation, *self._rings]

    def _conditional(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the parameters (B, K, 1) of the next sample, its prediction (B,) and its log-gain (B,)."""
        block = (self._time - self._start_of_plan) // self._block_length
        log_gain = self._log_gain.index_select(0, block)[0]
        coefficients = self._coefficients.index_select(0, block)[0]
        prediction = (coefficients * self._history).sum(1) if self._order else torch.zeros_like(log_gain)
        inputs = self._history[:, :1]
        if self._order:
            before, inverse_gain = self._history[:, 0], torch.exp(-log_gain)
            inputs = torch.stack([self._excitation, before * inverse_gain, prediction * inverse_gain], dim=1).asinh()
        raw = self._stack(inputs)[:, :, None]
        return self.distribution.place(raw, prediction[:, None], log_gain[:, None]), prediction, log_gain

    def _append(self, x: Tensor, prediction: Tensor, log_gain: Tensor) -> None:
        self._excitation.copy_((x - prediction) * torch.exp(-log_gain))
        self._history.copy_(torch.cat([x[:, None], self._history[:, :-1]], dim=1))
        self._time += 1

    def _stack(self, inputs: Tensor) -> Tensor:
        """Map the inputs (B, in_channels) of the current sample to the outputs of the stack."""
        gates = self._gates.index_select(0, (self._time - self._start_of_plan) // self._hop_length)[0]
        hidden = F.linear(inputs, *self._start)
        skip: Tensor | None = None
        for i, (ring, dilation) in enumerate(zip(self._rings, self.dilations, strict=True)):
            slots = [(self._time + tap * dilation) % len(ring) for tap in range(self.past)]
            taps = torch.cat([*(ring.index_select(0, slot)[0] for slot in slots), hidden], dim=1)
            if slots:
                ring.index_copy_(0, slots[0], hidden[None])
            tanh, sigmoid = (gates[i] + F.linear(taps, self._in[i])).chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *self._res_skip[i])
            if i < len(self._rings) - 1:
                residual, out = out.chunk(2, dim=1)
                hidden = hidden + residual
            skip = out if skip is None else skip + out
        assert skip is not None
        return F.linear(skip, *self._end)


def _by_time(plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
    """Return gates (frames, layers, B, 2 * channels), coefficients (blocks, B, order) and log-gains (blocks, B)."""
    like = plan.gates.new_zeros(())
    coefficients = plan.coefficients.to(like).transpose(0, 1).contiguous()
    return plan.gates.permute(1, 2, 0, 3).contiguous(), coefficients, plan.log_gain.to(like).T.contiguous()


def _matrix(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a convolution (outputs, inputs, 1, taps) as a matrix (outputs, taps * inputs), oldest tap first."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight.detach().squeeze(2).transpose(1, 2).flatten(1), layer.bias.detach()
