"""Generation by the compiled loop, on the CPU in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vocoder.autoregressive.plan import Feedback, Plan, Progress
from vocoder.distributions.gaussian import Gaussian
from vocoder.kernels.launcher import Kernel
from vocoder.layers.stack import CausalStack, StackWeights, as_matrix, gate_offsets

__all__ = ["CompiledGenerator", "loop_weights"]


class CompiledGenerator:
    """Generate the utterances of a batch in compiled code, each on one thread.

    Args:
        run: `vocoder.kernels.generation.generated`, for the dtype of the weights.
        weights: of the stack, as `loop_weights` returns them.
        stack: a causal stack.
        distribution: of a sample.
        feedback: what the stack sees of the samples before.
        plan: the condition's share.
    """

    def __init__(
        self,
        run: Kernel,
        weights: tuple[Tensor, ...],
        stack: CausalStack,
        distribution: Gaussian,
        feedback: Feedback,
        plan: Plan,
    ) -> None:
        self._kernel, self._stack, self._weights = run, stack, weights
        floor, own, batch = distribution.log_s_floor, stack.weights(), plan.cond.shape[0]
        self._limits = -math.inf if floor is None else floor, feedback.limit
        self._flags = int(feedback.scales), int(own.rectified)
        self._state = (
            torch.zeros(batch, own.past * sum(own.dilations), own.hidden),
            torch.zeros(batch, len(own.dilations), dtype=torch.int32),
            torch.zeros(batch, max(plan.order, 1), dtype=torch.float64),
            torch.zeros(batch, len(weights[0])),
            torch.zeros(batch, 1, dtype=torch.float64),
        )
        self._progress = Progress(plan)
        self._enter(plan.of(0, 1))

    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        made = [torch.zeros(2, z.shape[0], 0)]
        for block in self._progress.take(z.shape[1]):
            if block.plan is not None:
                self._enter(block.plan)
            noise = z[:, block.taken].double().contiguous()
            out = torch.empty(2, *noise.shape)
            numbers = block.first, *self._lengths, *self._flags, *self._limits
            self._kernel(len(z), 1, *numbers, *self._plan, *self._weights, *self._state, noise, *out)
            made.append(out)
        x, log_stretch = torch.cat(made, dim=2)
        return x, log_stretch

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""
        self._progress.follow(plan)

    def _enter(self, plan: Plan) -> None:
        """Take the next part of the plan."""
        offsets = gate_offsets(self._stack, plan.cond, plan.cond.shape[0]).permute(2, 0, 1, 3).contiguous()
        self._plan = offsets, plan.coefficients.double().contiguous(), plan.log_gain.double().contiguous()
        self._lengths = plan.hop_length, plan.block_length


def loop_weights(weights: StackWeights, rounded: bool = False) -> tuple[Tensor, ...]:
    """Return the weights as the loop reads them: matrices (inputs, outputs), taps oldest first.

    Layers that half precision holds exactly, as in model directories stored in 16 bits, are kept in half precision: the
    loop's speed is that of reading them.

    Args:
        weights: of the stack.
        rounded: keep half precision of them even where this loses something.
    """
    hidden, layers = weights.hidden, [as_matrix(pair) for pair in weights.res_skip]
    gated, skip = layers[0][0].shape[1], len(layers[-1][1])
    res_w, res_b = torch.zeros(len(layers), gated, hidden + skip), torch.zeros(len(layers), hidden + skip)
    for i, (matrix, bias) in enumerate(layers):
        res_w[i, :, -len(bias) :], res_b[i, -len(bias) :] = matrix.t(), bias  # the last layer has no residual
    in_w = torch.stack([as_matrix(pair)[0].t() for pair in weights.gates])
    if all(_as_halves(matrices, rounded) for matrices in (in_w, res_w)):
        in_w, res_w = in_w.half(), res_w.half()
    dilations = torch.tensor(weights.dilations, dtype=torch.int32)
    starts = weights.past * (dilations.cumsum(0, dtype=torch.int32) - dilations)
    middle = (torch.zeros(0, 0), torch.zeros(0)) if weights.middle is None else as_matrix(weights.middle)
    outer = [
        (matrix.t().contiguous(), bias) for matrix, bias in (as_matrix(weights.start), middle, as_matrix(weights.end))
    ]
    return *outer[0], in_w, res_w, res_b, dilations, starts, *outer[1], *outer[2]


def _as_halves(weights: Tensor, rounded: bool) -> bool:
    """Return whether the processor widens half precision itself, and nothing is lost by it or may be."""
    from llvmlite import binding  # type: ignore[import-untyped]

    if not binding.get_host_cpu_features().get("f16c", False):
        return False
    halves = weights.half().float()
    return bool(halves.isfinite().all()) if rounded else bool(torch.equal(halves, weights))
