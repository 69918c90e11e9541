"""Generation by the compiled loop, on the CPU in float32."""

import math

import torch
from torch import Tensor

from vocoder.autoregressive.plan import Feedback, Plan
from vocoder.distributions.gaussian import Gaussian
from vocoder.kernels.launcher import Kernel
from vocoder.layers.stack import CausalStack, StackWeights, as_matrix, gate_offsets


class CompiledGenerator:
    """Generate the utterances of a batch in compiled code, each on one thread; arguments as of `generator`.

    `run` is the kernel `generated` for the dtype of the weights, which are as `loop_weights` returns them.
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
        floor, own, (batch, _, order) = distribution.log_s_floor, stack.weights(), plan.coefficients.shape
        floor = -math.inf if floor is None else floor
        self._settings = int(feedback.scales), floor, feedback.limit
        self._state = (
            torch.zeros(batch, own.past * sum(own.dilations), own.hidden),
            torch.zeros(batch, len(own.dilations), dtype=torch.int32),
            torch.zeros(batch, order, dtype=torch.float64),
            torch.zeros(batch, 1, dtype=torch.float64),
        )

    def __call__(self, plan: Plan, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) of noise z (B, T) and their plan, and log |dx / dz| of each."""
        x, log_stretch = torch.empty(2, *z.shape)
        offsets = gate_offsets(self._stack, plan.cond, len(z)).permute(2, 0, 1, 3).contiguous()
        predictors, noise = (
            [t.double().contiguous() for t in (plan.coefficients, plan.log_gain)],
            z.double().contiguous(),
        )
        lengths = plan.hop_length, plan.block_length
        given = offsets, *predictors, *self._weights, *self._state, noise
        self._kernel(len(z), *lengths, *self._settings, *given, x, log_stretch)
        return x, log_stretch


def loop_weights(weights: StackWeights, rounded: bool = False) -> tuple[Tensor, ...]:
    """Return the weights as the loop reads them: matrices (inputs, outputs), taps oldest first.

    Layers that half precision holds exactly, as in model directories stored in 16 bits, are kept in half precision: the
    loop's speed is that of reading them.
    With `rounded` they are kept so even where this loses something.
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
