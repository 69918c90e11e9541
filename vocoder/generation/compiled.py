"""Generation by the compiled loop, on the CPU in float32."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import binding  # type: ignore[import-untyped]
from torch import Tensor, nn

from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.distributions.logistic_mixture import LogisticMixture
from vocoder.distributions.mulaw import MuLaw
from vocoder.distributions.normal import log_odds
from vocoder.generation.kernel import GAUSSIAN, LOGISTIC, MULAW, generate
from vocoder.generation.plan import Plan
from vocoder.layers.stack import WaveNetStack

__all__ = ["CompiledGenerator"]

EXTREME_ODDS = 600.0  # the log-odds of 34 standard deviations, short of where float64 ends


class CompiledGenerator:
    """Generate the utterances of a batch, each on a thread of its own, in a loop compiled by numba.

    The first call of a process compiles for some seconds, or finds an earlier process's code on disk. Weights that
    half precision holds exactly, as in model directories stored in 16 bits, are kept in half precision: the loop's
    speed is that of reading them. Nothing is rounded that was not rounded before.

    Args:
        stack: a causal stack.
        distribution: of a sample.
        plan: the condition's share.

    Raises:
        ImportError: numba does not compile in this process.
    """

    def __init__(self, stack: WaveNetStack, distribution: Distribution, plan: Plan) -> None:
        if numba.config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")
        self._distribution = distribution
        self._family = _family(distribution)
        self._weights = packed(stack)
        batch = plan.gates.shape[0]
        self._states = [_state(stack, plan.order) for _ in range(batch)]
        self.follow(plan)
        self._run(torch.zeros(batch, 0), None, 1)  # compiles

    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        x, stretch, _ = self._run(z, None, 1)
        return x, stretch

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with that of the next frames."""
        self._plan = plan
        self._plans = [
            tuple(_array(part[i], dtype) for part, dtype in _parts(plan)) for i in range(plan.gates.shape[0])
        ]
        self._first = 0

    def feed(self, x: Tensor) -> Tensor:
        """Follow given samples x (B, T), and return the parameters (B, K, T) of their distributions."""
        _, _, params = self._run(torch.zeros_like(x), x, x.shape[1])
        return params.transpose(1, 2)

    def _run(self, z: Tensor, forced: Tensor | None, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        batch, length = z.shape
        noise, odds = _array(z, np.float64), _array(log_odds(z.double()).clamp(-EXTREME_ODDS, EXTREME_ODDS), np.float64)
        follow = np.empty((batch, 0), np.float32) if forced is None else _array(forced, np.float32)
        x, stretch = np.zeros((batch, length), np.float32), np.zeros((batch, length), np.float32)
        params = np.zeros((batch, rows, self._distribution.channels))
        span = (self._first, self._plan.hop_length, self._plan.block_length)

        def one(i: int) -> None:
            out = (x[i], stretch[i], params[i])
            state = self._states[i]
            generate(span, self._plans[i], self._family, self._weights, state, (noise[i], odds[i]), follow[i], out)

        threads = min(batch, torch.get_num_threads())
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, range(batch)))
        else:
            for i in range(batch):
                one(i)
        self._first += length
        return torch.from_numpy(x), torch.from_numpy(stretch), torch.from_numpy(params).float()


def packed(stack: WaveNetStack) -> tuple[np.ndarray, ...]:
    """Return the weights as the loop reads them: matrices (inputs, outputs), taps oldest first."""
    width, layers = stack.config.channels, len(stack.config.dilations)
    start_w, start_b = _matrix(stack.start)
    end_w, end_b = _matrix(stack.end)
    in_w = np.stack([_matrix(layer)[0] for layer in stack.in_layers])
    res_w, res_b = np.zeros((layers, width, 2 * width), np.float32), np.zeros((layers, 2 * width), np.float32)
    for i, layer in enumerate(stack.res_skip_layers):
        weight, bias = _matrix(layer)
        res_w[i, :, -weight.shape[1] :], res_b[i, -len(bias) :] = weight, bias  # the last layer has no residual
    dilations = np.array(stack.config.dilations, np.int64)
    starts = (stack.config.kernel_size - 1) * (np.cumsum(dilations) - dilations)
    if _halves_suffice(in_w) and _halves_suffice(res_w):
        in_w, res_w = in_w.astype(np.float16).view(np.uint16), res_w.astype(np.float16).view(np.uint16)
    return start_w, start_b, in_w, res_w, res_b, end_w, end_b, dilations, starts


def _matrix(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    weight = layer.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)
    return _array(weight, np.float32), _array(layer.bias, np.float32)


def _halves_suffice(weights: np.ndarray) -> bool:
    """Return whether the processor widens half precision itself, and nothing is lost by it."""
    if not binding.get_host_cpu_features().get("f16c", False):
        return False
    with np.errstate(over="ignore"):
        return bool(np.array_equal(weights.astype(np.float16).astype(np.float32), weights))


def _state(stack: WaveNetStack, order: int) -> tuple[np.ndarray, ...]:
    """Return silence before the first sample: rings of hidden vectors, their slots, past samples and excitation."""
    rows = (stack.config.kernel_size - 1) * sum(stack.config.dilations)
    rings = np.zeros((rows, stack.config.channels), np.float32)
    return rings, np.zeros(len(stack.config.dilations), np.int64), np.zeros(max(order, 1)), np.zeros(1)


def _parts(plan: Plan) -> tuple[tuple[Tensor, Any], ...]:
    return (plan.gates, np.float32), (plan.coefficients, np.float64), (plan.log_gain, np.float64)


def _family(distribution: Distribution) -> tuple[int, float, float]:
    """Return the kind of distribution for the loop, its soft floor, and the reach of mu-law."""
    if isinstance(distribution, MuLaw):
        return MULAW, -np.inf, float(distribution.reach)
    assert isinstance(distribution, (Gaussian, LogisticMixture))
    kind = GAUSSIAN if isinstance(distribution, Gaussian) else LOGISTIC
    floor = distribution.log_s_floor
    return kind, -np.inf if floor is None else float(floor), 1.0


def _array(value: Tensor, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(value.detach().cpu().numpy(), dtype=dtype)
