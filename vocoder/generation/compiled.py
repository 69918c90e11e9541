"""Generation by the compiled loop, on the CPU in float32."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import binding  # type: ignore[import-untyped]
from torch import Tensor

from vocoder.distributions.gaussian import Gaussian
from vocoder.generation.kernel import generate
from vocoder.generation.plan import Feedback, Plan, Progress
from vocoder.layers.stack import Affine, CausalStack, StepWeights

__all__ = ["CompiledGenerator"]


class CompiledGenerator:
    """Generate the utterances of a batch, each on a thread of its own, in a loop compiled by numba.

    The first call of a process compiles for some seconds, or finds an earlier process's code on disk. Weights that
    half precision holds exactly, as in model directories stored in 16 bits, are kept in half precision: the loop's
    speed is that of reading them. Others are rounded to it only where the stack was asked to compute in bfloat16.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        feedback: what the stack hears of the samples before.
        plan: the condition's share.

    Raises:
        ImportError: numba does not compile in this process.
    """

    def __init__(self, stack: CausalStack, distribution: Gaussian, feedback: Feedback, plan: Plan) -> None:
        if numba.config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")
        weights, batch = stack.step_weights(), plan.cond.shape[0]
        floor = distribution.log_s_floor
        self._stack, self._floor = stack, -np.inf if floor is None else float(floor)
        self._feedback = feedback.scales, weights.rectified, float(feedback.limit)
        self._weights = packed(weights, rounded=stack.compute_dtype == torch.bfloat16)
        self._states = [_state(weights, feedback.channels, plan.order) for _ in range(batch)]
        self._progress = Progress(plan)
        self._enter(plan.of(0, 1))
        self._run(torch.zeros(batch, 0), 0)  # compiles

    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        made = [torch.zeros(2, z.shape[0], 0)]
        for block in self._progress.take(z.shape[1]):
            if block.plan is not None:
                self._enter(block.plan)
            made.append(self._run(z[:, block.taken], block.first))
        x, stretch = torch.cat(made, dim=2)
        return x, stretch

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""
        self._progress.follow(plan)

    def _enter(self, plan: Plan) -> None:
        """Take the next part of the plan."""
        gates = self._stack.gate_shares(plan.cond, plan.cond.shape[0])
        parts = ((gates, np.float32), (plan.coefficients, np.float64), (plan.log_gain, np.float64))
        self._plans = [tuple(_array(part[i], dtype) for part, dtype in parts) for i in range(len(gates))]
        self._lengths = plan.hop_length, plan.block_length

    def _run(self, z: Tensor, first: int) -> Tensor:
        """Return x and log |dx / dz| (2, B, T) of samples from number `first` of the present part of the plan on."""
        batch, length = z.shape
        noise = _array(z, np.float64)
        made = np.zeros((2, batch, length), np.float32)

        def one(i: int) -> None:
            common = (first, *self._lengths), self._plans[i], self._floor, self._feedback, self._weights
            generate(*common, self._states[i], noise[i], (made[0, i], made[1, i]))

        threads = min(batch, torch.get_num_threads())
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, range(batch)))
        else:
            for i in range(batch):
                one(i)
        return torch.from_numpy(made)


def packed(weights: StepWeights, rounded: bool = False) -> tuple[np.ndarray, ...]:
    """Return the weights as the loop reads them: matrices (inputs, outputs), taps oldest first.

    Args:
        weights: of the stack.
        rounded: keep half precision of them even where this loses something.
    """
    hidden, layers = weights.hidden, len(weights.dilations)
    gated, width = weights.res_skip[0][0].shape[1], max(len(bias) for _, bias in weights.res_skip)
    width = max(width, hidden + len(weights.res_skip[-1][1]))
    res_w, res_b = np.zeros((layers, gated, width), np.float32), np.zeros((layers, width), np.float32)
    for i, (matrix, bias) in enumerate(weights.res_skip):
        res_w[i, :, -len(bias) :], res_b[i, -len(bias) :] = matrix.T.numpy(), bias  # the last layer has no residual
    in_w = np.stack([_array(matrix.T, np.float32) for matrix in weights.gates])
    if all(_as_halves(matrices, rounded) for matrices in (in_w, res_w)):
        in_w, res_w = in_w.astype(np.float16).view(np.uint16), res_w.astype(np.float16).view(np.uint16)
    dilations = np.array(weights.dilations, np.int64)
    starts = weights.past * (np.cumsum(dilations) - dilations)
    nothing = torch.zeros(0, 0), torch.zeros(0)
    middle = _transposed(weights.middle or nothing)
    start, end = _transposed(weights.start), _transposed(weights.end)
    return *start, in_w, res_w, res_b, dilations, starts, *middle, *end


def _transposed(layer: Affine) -> tuple[np.ndarray, np.ndarray]:
    return _array(layer[0].T, np.float32), _array(layer[1], np.float32)


def _as_halves(weights: np.ndarray, rounded: bool) -> bool:
    """Return whether the processor widens half precision itself, and nothing is lost by it or may be."""
    if not binding.get_host_cpu_features().get("f16c", False):
        return False
    with np.errstate(over="ignore"):
        halves = weights.astype(np.float16).astype(np.float32)
    return bool(np.isfinite(halves).all()) if rounded else bool(np.array_equal(halves, weights))


def _state(weights: StepWeights, in_channels: int, order: int) -> tuple[np.ndarray, ...]:
    """Return silence before the first sample: rings, their slots, past samples, past inputs and past excitation."""
    rings = np.zeros((weights.past * sum(weights.dilations), weights.hidden), np.float32)
    slots, front = np.zeros(len(weights.dilations), np.int64), np.zeros(weights.start[0].shape[1], np.float32)
    return rings, slots, np.zeros(max(order, 1)), front, np.zeros(1)


def _array(value: Tensor, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(value.detach().cpu().numpy(), dtype=dtype)
