"""The compiled loop that generates audio sample by sample.

All of it stands in one file, because numba's cache of compiled code watches the file of the entry point alone.
Matrices are stored input-major, so that inner loops run over outputs, which vectorises; the weights of one sample are
read once from front to back, and speed is the speed at which the cache delivers them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["generate"]

SATURATED = 30.0  # beyond it tanh and the logistic function are constant in float32


@intrinsic  # type: ignore[untyped-decorator]
def _weight(typing_context: Any, stored: Any) -> Any:
    """Return a stored weight, float32 or the bits of a half in a uint16, as float32."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if stored == types.float32:
            return args[0]
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(stored), build


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(typing_context: Any, exponent: Any) -> Any:
    """Return 2**exponent in float32 for an integral float32, from its bits."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        biased = builder.add(builder.fptosi(args[0], integer), ir.Constant(integer, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.float32), build


@njit(fastmath=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _exp(x: Any) -> Any:
    """Return e**x to 1e-7 for |x| <= 30: a power of two times a Taylor polynomial; vectorises, unlike libm's."""
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    f = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)  # ln 2 in two parts, the first exact
    p = np.float32(1 / 5040)
    p = p * f + np.float32(1 / 720)
    p = p * f + np.float32(1 / 120)
    p = p * f + np.float32(1 / 24)
    p = p * f + np.float32(1 / 6)
    p = p * f + np.float32(0.5)
    p = p * f + np.float32(1.0)
    p = p * f + np.float32(1.0)
    return p * _power_of_two(n)


@njit(fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _gate(gates: Any, out: Any) -> None:
    """Write tanh(first half) * sigmoid(second half)."""
    one, limit = np.float32(1.0), np.float32(SATURATED)
    for j in range(out.shape[0]):
        a = min(max(np.float32(2.0) * gates[j], -limit), limit)
        b = min(max(gates[out.shape[0] + j], -limit), limit)
        e, f = _exp(a), _exp(-b)
        out[j] = (e - one) / ((e + one) * (one + f))


@njit(fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _accumulate(weights: Any, x: Any, y: Any) -> None:
    """Add the product of x (inputs,) and weights (inputs, outputs) to y, four inputs for each pass over y."""
    inputs, outputs = weights.shape
    whole = inputs - inputs % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(outputs):
            first = a * _weight(weights[i, j]) + b * _weight(weights[i + 1, j])
            y[j] += first + c * _weight(weights[i + 2, j]) + d * _weight(weights[i + 3, j])
    for i in range(whole, inputs):
        for j in range(outputs):
            y[j] += x[i] * _weight(weights[i, j])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _layers(weights: Any, state: Any, gates: Any, scratch: Any) -> None:
    """Run the layers for one sample; `sums` holds the hidden vector and, behind it, the sum of the skips."""
    in_w, res_w, res_b, dilations, starts = weights[2:7]
    rings, slots = state[:2]
    taps, gate, gated, sums = scratch[:4]
    width = rings.shape[1]
    past = taps.shape[0] // width - 1
    for layer in range(in_w.shape[0]):
        dilation, start, slot = dilations[layer], starts[layer], slots[layer]
        period = past * dilation
        for tap in range(past):
            row = start + (slot + tap * dilation) % period
            for j in range(width):
                taps[tap * width + j] = rings[row, j]
        for j in range(width):
            taps[past * width + j] = sums[j]
        if past > 0:
            for j in range(width):
                rings[start + slot, j] = sums[j]
            slots[layer] = (slot + 1) % period
        for j in range(gate.shape[0]):
            gate[j] = gates[layer, j]
        for j in range(sums.shape[0]):
            sums[j] += res_b[layer, j]
        _accumulate(in_w[layer], taps, gate)
        _gate(gate, gated)
        _accumulate(res_w[layer], gated, sums)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _network(weights: Any, state: Any, gates: Any, rectified: bool, scratch: Any) -> None:
    """Map what the network hears, `front`, to its output for one sample, `raw`."""
    start_w, start_b = weights[:2]
    middle_w, middle_b, end_w, end_b = weights[7:]
    _, _, _, sums, middle, raw = scratch
    width = start_b.shape[0]
    sums[:width], sums[width:] = start_b, 0.0
    _accumulate(start_w, state[3], sums[:width])
    if rectified:
        np.maximum(sums[:width], np.float32(0), sums[:width])
    _layers(weights, state, gates, scratch)
    raw[:] = end_b
    if middle_w.shape[0] == 0:
        _accumulate(end_w, sums[width:], raw)
        return
    middle[:] = middle_b
    _accumulate(middle_w, np.maximum(sums[width:], np.float32(0)), middle)
    np.maximum(middle, np.float32(0), middle)
    _accumulate(end_w, middle, raw)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _hear(scales: bool, past: Any, front: Any) -> None:
    """Put the newest input behind those before it; `past` is excitation, last sample and prediction over the gain."""
    channels = 3 if scales else 1
    first = front.shape[0] - channels
    for i in range(first):
        front[i] = front[i + channels]
    for i in range(channels):
        front[first + i] = math.asinh(past[i]) if scales else past[i]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _floored(log_s: float, floor: float) -> float:
    """Return a log-scale above its soft floor; minus infinity is none."""
    if floor == -np.inf:
        return log_s
    above = log_s - floor
    return floor + max(above, 0.0) + math.log1p(math.exp(-abs(above)))


def _generate(span: Any, plan: Any, floor: Any, feedback: Any, weights: Any, state: Any, noise: Any, out: Any) -> None:
    """Generate the samples of one utterance, each with a Gaussian of its own.

    Args:
        span: number of the first sample in the plan, samples for each position, samples for each predictor.
        plan: gates (positions, layers, 2 * gate), coefficients (blocks, order), log-gains (blocks,).
        floor: soft floor of log-scales.
        feedback: whether the network hears scales, whether its first layer is rectified, how far the excitation may go.
        weights: of the stack, see `vocoder.generation.compiled`.
        state: rings, slots, past samples (the latest first), past inputs, past excitation; changed.
        noise: z (T,), float64.
        out: x (T,) and log |dx / dz| (T,); written.
    """
    first, hop, block = span
    gates, coefficients, log_gains = plan
    in_w, res_w, end_b = weights[2], weights[3], weights[10]
    scales, rectified, limit = feedback
    history, front, excitation = state[2:]
    taps, gated = np.empty(in_w.shape[1], np.float32), np.empty(res_w.shape[1], np.float32)
    gate, sums = np.empty(in_w.shape[2], np.float32), np.empty(res_w.shape[2], np.float32)
    raw = np.empty(end_b.shape[0], np.float32)
    scratch = taps, gate, gated, sums, np.empty(weights[8].shape[0], np.float32), raw
    for t in range(noise.shape[0]):
        number = (first + t) // block
        prediction, gain = 0.0, math.exp(log_gains[number])
        for k in range(coefficients.shape[1]):
            prediction += coefficients[number, k] * history[k]
        _hear(scales, (excitation[0], history[0] / gain, prediction / gain), front)
        _network(weights, state, gates[(first + t) // hop], rectified, scratch)
        out[1][t] = log_s = _floored(log_gains[number] + raw[1], floor)
        x = prediction + gain * raw[0] + math.exp(log_s) * noise[t]
        bound = limit * gain
        out[0][t] = min(max(x, prediction - bound), prediction + bound)
        x = float(out[0][t])  # as it is rounded there
        excitation[0] = (x - prediction) / gain
        for k in range(history.shape[0] - 1, 0, -1):
            history[k] = history[k - 1]
        history[0] = x


def _compiled(function: Any) -> Any:
    """Compile when first called, and keep the result on disk where there is a folder for it."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


generate = _compiled(_generate)
