"""Generate audio sample by sample: in compiled code, or in a plain loop for any device, precision and distribution."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from vocoder.distributions import Distribution, Gaussian
from vocoder.kernels.launcher import Kernel, kernel
from vocoder.layers.stack.plain import StackStepper, as_matrix, gate_offsets
from vocoder.layers.stack.wavenet import WaveNetStack

PART = 256  # positions for which the condition's part of the gates is computed at a time


@dataclass(frozen=True)
class Plan:
    """What generation takes from the mel, per position: a frame or sample. Positions and blocks are equal parts."""

    cond: Tensor  # condition of the stack, (B, cond_channels, positions)
    coefficients: Tensor  # linear prediction coefficients, (B, blocks, order)
    log_gain: Tensor  # log-gain of the linear prediction, (B, blocks)

    def parts(self, z: Tensor) -> Iterator[tuple["Plan", Tensor]]:
        """Yield the plan in parts of `PART` positions, each with its part of the noise z (B, T)."""
        positions = self.cond.shape[2]
        hop, blocks = z.shape[1] // positions, self.log_gain.shape[1] // positions
        for first in range(0, positions, PART):
            last = first + PART
            part = slice(first * blocks, last * blocks)
            yield (
                Plan(self.cond[:, :, first:last], self.coefficients[:, part], self.log_gain[:, part]),
                z[:, first * hop : last * hop],
            )


def fed_back(channels: int, excitation: Tensor, before: Tensor, prediction: Tensor) -> Tensor:
    """Return a network's input (B, channels, T): the excitation (B, T), the prediction error of the sample before.

    With three channels it also has the sample before each one and its prediction, both divided by the gain. All three
    pass through asinh, since vowels reach hundreds of gains.
    """
    if channels == 1:
        return excitation.unsqueeze(1)
    return torch.stack([excitation, before, prediction], dim=1).asinh()


Generator: TypeAlias = Callable[[Plan, Tensor], tuple[Tensor, Tensor]]
"""maps the plan of the next samples and their noise z (B, T) to x (B, T) and log |dx / dz| of each sample"""


def generator(
    stack: WaveNetStack, distribution: Distribution, limit: float, plan: Plan, dtype: torch.dtype
) -> Generator:
    """Return the fastest generator: compiled for Gaussians in float32 on the CPU, otherwise a plain loop.

    If numba cannot compile, the plain loop is used, which is 25 times slower. The stack must be causal, and the plan
    that of the first samples. Each sample is clamped to `limit` gains around its prediction.
    """
    like = stack.start.weight
    plain = like.device.type != "cpu" or dtype != torch.float32 or like.dtype != torch.float32
    if not plain and isinstance(distribution, Gaussian):
        tables = loop_weights(stack, rounded=stack.compute_dtype == torch.bfloat16)
        run = kernel("generation", "generated", tables[2].dtype)
        if run is not None:
            floor = -math.inf if distribution.log_s_floor is None else distribution.log_s_floor
            return CompiledGenerator(run, tables, stack, (floor, limit), plan)
    return StepwiseGenerator(stack, distribution, limit, plan)


class StepwiseGenerator:
    """Generates a batch sample by sample in a plain loop; the plan is that of the first samples."""

    def __init__(self, stack: WaveNetStack, distribution: Distribution, limit: float, plan: Plan) -> None:
        (batch, _, order), like = plan.coefficients.shape, stack.start.weight
        self._stack, self._distribution, self._limit = stack, distribution, limit
        self._stepper = StackStepper(stack, batch)
        self._history = like.new_zeros(batch, order)  # latest sample first
        self._excitation = like.new_zeros(batch)

    @torch.no_grad()
    def __call__(self, plan: Plan, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T) and their plan, and return log |dx / dz| with them."""
        offsets = gate_offsets(self._stack, plan.cond, len(z))
        hop, block = z.shape[1] // len(offsets), z.shape[1] // plan.log_gain.shape[1]
        made = [self._step(plan, t // block, offsets[t // hop], z[:, t : t + 1]) for t in range(z.shape[1])]
        return torch.cat([x for x, _ in made], dim=1), torch.cat([stretch for _, stretch in made], dim=1)

    def _step(self, plan: Plan, block: int, offsets: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate one sample x (B, 1) from noise z (B, 1), and return log |dx / dz| (B, 1) with it."""
        log_gain, coefficients = plan.log_gain[:, block], plan.coefficients[:, block]
        gain, before = torch.exp(log_gain), self._history[:, 0]
        prediction = (coefficients * self._history).sum(1)
        signals = [signal[:, None] for signal in (self._excitation, before / gain, prediction / gain)]
        inputs = fed_back(self._stack.start.in_channels, *signals)[:, :, 0]
        raw = self._stepper(inputs, offsets)
        params = self._distribution.place(raw[:, :, None], prediction[:, None], log_gain[:, None])
        made, stretch = self._distribution.inverse(params, z.to(params.dtype))
        bound = self._limit * gain
        x = made[:, 0].clamp(prediction - bound, prediction + bound)
        self._excitation = (x - prediction) / gain
        self._history = torch.cat([x[:, None], self._history[:, :-1]], dim=1)
        return x[:, None], stretch


class CompiledGenerator:
    """Generates a batch in compiled code, each utterance on one thread; for other arguments see `StepwiseGenerator`.

    `run` is the kernel `generated` for the dtype of `tables`, which are the `loop_weights` of the stack; `bounds` are
    the soft lower bound of log-scales and the limit of samples.
    """

    def __init__(
        self, run: Kernel, tables: tuple[Tensor, ...], stack: WaveNetStack, bounds: tuple[float, float], plan: Plan
    ) -> None:
        self._kernel, self._tables, self._stack, self._bounds = run, tables, stack, bounds
        (batch, _, order), dilations, taps = plan.coefficients.shape, stack.config.dilations, stack.config.kernel_size
        self._state = (
            torch.zeros(batch, (taps - 1) * sum(dilations), stack.start.out_channels, dtype=torch.float32),
            torch.zeros(batch, len(dilations), dtype=torch.int32),
            torch.zeros(batch, order, dtype=torch.float64),
            torch.zeros(batch, 1, dtype=torch.float64),
        )

    def __call__(self, plan: Plan, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T) and their plan, and return log |dx / dz| with them."""
        x, log_stretch = torch.empty(2, *z.shape, dtype=torch.float32)
        offsets = gate_offsets(self._stack, plan.cond, len(z)).permute(2, 0, 1, 3).contiguous()
        coefficients, log_gain, noise = (t.double().contiguous() for t in (plan.coefficients, plan.log_gain, z))
        given, signals = (offsets, coefficients, log_gain), (noise, x, log_stretch)
        self._kernel(len(z), self._bounds, given, self._tables, self._state, signals)
        return x, log_stretch


def loop_weights(stack: WaveNetStack, rounded: bool = False) -> tuple[Tensor, ...]:
    """Return the weights in the layout of the compiled loop: matrices (inputs, outputs), taps oldest first.

    Layers that float16 holds exactly, as in model directories stored in 16 bits, are kept in float16, since the loop is
    bound by reading weights. With `rounded` they are kept in float16 even if that is not exact.
    """
    zeros, layers = stack.start.weight.new_zeros, [as_matrix(layer) for layer in stack.res_skip_layers]
    hidden, gated, skip = stack.start.out_channels, layers[0][0].shape[1], len(layers[-1][1])
    res_w, res_b = zeros(len(layers), gated, hidden + skip), zeros(len(layers), hidden + skip)
    for i, (matrix, bias) in enumerate(layers):
        res_w[i, :, -len(bias) :], res_b[i, -len(bias) :] = matrix.t(), bias  # the last layer has no residual
    in_w = torch.stack([as_matrix(layer)[0].t() for layer in stack.in_layers])
    if all(_as_halves(matrices, rounded) for matrices in (in_w, res_w)):
        in_w, res_w = in_w.half(), res_w.half()
    dilations = torch.tensor(stack.config.dilations, dtype=torch.int32)
    middle = (zeros(0, 0), zeros(0)) if stack.middle is None else as_matrix(stack.middle)
    outer = [(w.t().contiguous(), b) for w, b in (as_matrix(stack.start), middle, as_matrix(stack.end))]
    return *outer[0], in_w, res_w, res_b, dilations, *outer[1], *outer[2]


def _as_halves(weights: Tensor, rounded: bool) -> bool:
    """Return whether weights can be kept in float16: the processor widens it, and it is exact or may be `rounded`."""
    from llvmlite import binding  # type: ignore[import-untyped]

    if not binding.get_host_cpu_features().get("f16c", False):
        return False
    halves = weights.half().float()
    return bool(halves.isfinite().all()) if rounded else bool(torch.equal(halves, weights))
