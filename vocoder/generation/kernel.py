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

__all__ = ["EXCITATION", "GAUSSIAN", "LEVEL", "LOGISTIC", "MULAW", "SCALES", "generate"]

GAUSSIAN, LOGISTIC, MULAW = 0, 1, 2  # distributions
EXCITATION, SCALES, LEVEL = 0, 1, 2  # what a network hears
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
SATURATED = 30.0  # beyond it tanh and the logistic function are constant in float32
MAX_STEPS = 100


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
def _hear(kind: int, edges: Any, past: Any, front: Any) -> None:
    """Put the newest input behind those before it; `past` is excitation, last sample and prediction over the gain."""
    channels = 3 if kind == SCALES else (edges.shape[0] - 1 if kind == LEVEL else 1)
    first = front.shape[0] - channels
    for i in range(first):
        front[i] = front[i + channels]
    if kind == LEVEL:
        front[first:] = 0.0
        front[first + np.searchsorted(edges[1:-1], past[0])] = 1.0
        return
    for i in range(channels):
        front[first + i] = math.asinh(past[i]) if kind == SCALES else past[i]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _floored(log_s: float, floor: float) -> float:
    """Return a log-scale above its soft floor; minus infinity is none."""
    if floor == -np.inf:
        return log_s
    above = log_s - floor
    return floor + max(above, 0.0) + math.log1p(math.exp(-abs(above)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _place(family: Any, raw: Any, shift: float, log_scale: float, params: Any) -> None:
    """Turn the network's output into the parameters of the distribution, as `Distribution.place` does."""
    kind, floor, reach = family
    scale = math.exp(log_scale)
    if kind == MULAW:
        params[: raw.shape[0]] = raw
        params[raw.shape[0]] = shift
        params[raw.shape[0] + 1] = log_scale + math.log(reach)
        return
    count = raw.shape[0] // 3 if kind == LOGISTIC else 1
    first = count if kind == LOGISTIC else 0  # of the means; logits stand before them
    params[:first] = raw[:first]
    for j in range(first, first + count):
        params[j] = shift + scale * raw[j]
        params[count + j] = _floored(log_scale + raw[count + j], floor)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _draw_logistic(params: Any, z: float, odds: float, weights: Any) -> tuple[float, float]:
    """Solve F(x) = Phi(z) for a mixture, by safeguarded Newton steps on the log-odds."""
    count = weights.shape[0]
    weights[:] = np.exp(params[:count] - params[:count].max())
    total = weights.sum()
    low, high, x = np.inf, -np.inf, 0.0
    for k in range(count):
        quantile = params[count + k] + math.exp(params[2 * count + k]) * odds
        low, high, x = min(low, quantile), max(high, quantile), x + weights[k] * quantile / total
    density = 0.0
    for step in range(MAX_STEPS):
        below, above, density = 0.0, 0.0, 0.0
        for k in range(count):
            inverse_scale = math.exp(-params[2 * count + k])
            e = math.exp(-abs((x - params[count + k]) * inverse_scale))
            tail = weights[k] * e / (total * (1 + e))
            rest = weights[k] / (total * (1 + e))
            positive = x > params[count + k]
            below, above = below + (rest if positive else tail), above + (tail if positive else rest)
            density += tail * inverse_scale / (1 + e)
        error = math.log(below) - math.log(above) - odds
        low, high = (x, high) if error < 0 else (low, x)
        newton, middle = x - error * below * above / density, 0.5 * (low + high)
        if abs(error) < 1e-10 or newton == x or not low < middle < high:
            break
        x = newton if low < newton < high and step % 3 < 2 else middle
    return x, -0.5 * z * z - HALF_LOG_2PI - math.log(density)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _draw_mulaw(params: Any, z: float, odds: float, tables: Any, weights: Any) -> tuple[float, float]:
    """Find the level that holds the quantile of z, and the place within it, or the level's own value."""
    edges, values = tables
    levels = weights.shape[0]
    weights[:] = np.exp(params[:levels] - params[:levels].max())
    total = weights.sum()
    below, above = 1.0 / (1.0 + math.exp(-odds)), 1.0 / (1.0 + math.exp(odds))
    level, before = 0, 0.0
    while level < levels - 1 and before + weights[level] / total < below:
        before += weights[level] / total
        level += 1
    here = weights[level] / total
    first, last, width = level == 0, level == levels - 1, edges[level + 1] - edges[level]
    place = min(max((below - before) / here, 0.0), 1.0)
    if first:
        place = 1.0 + math.log(min(max(below / here, 1e-300), 1.0))
    elif last:
        place = -math.log(min(max(above / here, 1e-300), 1.0))
    if values.shape[0] > 0:
        place = (values[level] - edges[level]) / width
    beyond = 1.0 - place if first else (place if last else 0.0)
    log_scale = params[levels + 1]
    log_density = math.log(here / width) - log_scale - beyond
    x = params[levels] + math.exp(log_scale) * (edges[level] + width * place)
    return x, -0.5 * z * z - HALF_LOG_2PI - log_density


def _generate(span: Any, plan: Any, family: Any, feedback: Any, weights: Any, state: Any, noise: Any, out: Any) -> None:
    """Generate the samples of one utterance.

    Args:
        span: number of the first sample in the plan, samples for each position, samples for each predictor.
        plan: gates (positions, layers, 2 * gate), coefficients (blocks, order), log-gains (blocks,).
        family: kind of distribution, soft floor of log-scales, reach of mu-law; edges and values of its levels.
        feedback: what the network hears, whether its first layer is rectified, how far the excitation may go.
        weights: of the stack, see `vocoder.generation.compiled`.
        state: rings, slots, past samples (the latest first), past inputs, past excitation; changed.
        noise: z (T,) and its log-odds (T,), float64.
        out: x (T,) and log |dx / dz| (T,); written.
    """
    first, hop, block = span
    gates, coefficients, log_gains = plan
    in_w, res_w, end_b = weights[2], weights[3], weights[10]
    kind, tables = family[0], family[3:]
    hearing, rectified, limit = feedback
    history, front, excitation = state[2:]
    taps, gated = np.empty(in_w.shape[1], np.float32), np.empty(res_w.shape[1], np.float32)
    gate, sums = np.empty(in_w.shape[2], np.float32), np.empty(res_w.shape[2], np.float32)
    raw = np.empty(end_b.shape[0], np.float32)
    scratch = taps, gate, gated, sums, np.empty(weights[8].shape[0], np.float32), raw
    params, draws = np.empty(raw.shape[0] + 2), np.empty(raw.shape[0] // 3 if kind == LOGISTIC else raw.shape[0])
    for t in range(noise[0].shape[0]):
        number = (first + t) // block
        prediction, gain = 0.0, math.exp(log_gains[number])
        for k in range(coefficients.shape[1]):
            prediction += coefficients[number, k] * history[k]
        _hear(hearing, tables[0], (excitation[0], history[0] / gain, prediction / gain), front)
        _network(weights, state, gates[(first + t) // hop], rectified, scratch)
        _place(family[:3], raw, prediction, log_gains[number], params)
        if kind == LOGISTIC:
            x, out[1][t] = _draw_logistic(params, noise[0][t], noise[1][t], draws)
        elif kind == MULAW:
            x, out[1][t] = _draw_mulaw(params, noise[0][t], noise[1][t], tables, draws)
        else:
            x, out[1][t] = params[0] + math.exp(params[1]) * noise[0][t], params[1]
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
