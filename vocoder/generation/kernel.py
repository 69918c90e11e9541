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

__all__ = ["GAUSSIAN", "LOGISTIC", "MULAW", "generate"]

GAUSSIAN, LOGISTIC, MULAW = 0, 1, 2
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
    _, _, in_w, res_w, res_b, _, _, dilations, starts = weights
    rings, slots, _, _ = state
    taps, gate, gated, sums = scratch
    width = gated.shape[0]
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
        for j in range(2 * width):
            gate[j] = gates[layer, j]
            sums[j] += res_b[layer, j]
        _accumulate(in_w[layer], taps, gate)
        _gate(gate, gated)
        _accumulate(res_w[layer], gated, sums)


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
        for j in range(raw.shape[0]):
            params[j] = raw[j]
        params[raw.shape[0]] = shift
        params[raw.shape[0] + 1] = log_scale + math.log(reach)
        return
    count = raw.shape[0] // 3 if kind == LOGISTIC else 1
    first = count if kind == LOGISTIC else 0  # of the means; logits stand before them
    for j in range(first):
        params[j] = raw[j]
    for j in range(first, first + count):
        params[j] = shift + scale * raw[j]
        params[count + j] = _floored(log_scale + raw[count + j], floor)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _draw_logistic(params: Any, z: float, odds: float, weights: Any) -> tuple[float, float]:
    """Solve F(x) = Phi(z) for a mixture, by safeguarded Newton steps on the log-odds."""
    count = weights.shape[0]
    top = params[:count].max()
    for k in range(count):
        weights[k] = math.exp(params[k] - top)
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
def _edge(index: int, levels: int) -> float:
    """Return an edge of the intervals of mu-law."""
    position = 2.0 * index / levels - 1.0
    return math.copysign(math.expm1(abs(position) * math.log(levels)) / (levels - 1), position)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _draw_mulaw(params: Any, z: float, odds: float, weights: Any) -> tuple[float, float]:
    """Find the level that holds the quantile of z, and the place within it."""
    levels = weights.shape[0]
    top = params[:levels].max()
    for k in range(levels):
        weights[k] = math.exp(params[k] - top)
    total = weights.sum()
    below, above = 1.0 / (1.0 + math.exp(-odds)), 1.0 / (1.0 + math.exp(odds))
    level, before = 0, 0.0
    while level < levels - 1 and before + weights[level] / total < below:
        before += weights[level] / total
        level += 1
    here = weights[level] / total
    edge, width = _edge(level, levels), _edge(level + 1, levels) - _edge(level, levels)
    beyond = 0.0
    if level == 0:
        beyond = -math.log(min(max(below / here, 1e-300), 1.0))
        u = edge + width * (1.0 - beyond)
    elif level == levels - 1:
        beyond = -math.log(min(max(above / here, 1e-300), 1.0))
        u = edge + width * beyond
    else:
        u = edge + width * min(max((below - before) / here, 0.0), 1.0)
    log_scale = params[levels + 1]
    log_density = math.log(here / width) - log_scale - beyond
    return params[levels] + math.exp(log_scale) * u, -0.5 * z * z - HALF_LOG_2PI - log_density


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _draw(kind: int, params: Any, z: float, odds: float, weights: Any) -> Any:
    """Return x and log |dx / dz| for noise z, whose log-odds are `odds`."""
    if kind == LOGISTIC:
        return _draw_logistic(params, z, odds, weights)
    if kind == MULAW:
        return _draw_mulaw(params, z, odds, weights)
    return params[0] + math.exp(params[1]) * z, params[1]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _remember(history: Any, x: float) -> None:
    """Put a sample before the others, the latest first."""
    for k in range(history.shape[0] - 1, 0, -1):
        history[k] = history[k - 1]
    history[0] = x


def _generate(span: Any, plan: Any, family: Any, weights: Any, state: Any, noise: Any, forced: Any, out: Any) -> None:
    """Generate the samples of one utterance, or follow given ones.

    Args:
        span: absolute number of the first sample, samples for each frame, samples for each predictor.
        plan: gates (frames, layers, 2 * channels), coefficients (blocks, order), log-gains (blocks,).
        family: kind of distribution, soft floor of log-scales, reach of mu-law.
        weights: of the stack, see `vocoder.generation.compiled`.
        state: rings, slots, past samples, past excitation; changed.
        noise: z (T,) and its log-odds (T,), float64.
        forced: samples (T,) to follow, or none (0,).
        out: x (T,), log |dx / dz| (T,), parameters (T or 1, K); written.
    """
    first, hop, block = span
    gates, coefficients, log_gains = plan
    start_w, start_b, in_w, _, _, end_w, end_b, _, _ = weights
    history, excitation = state[2], state[3]
    width, order = start_b.shape[0], coefficients.shape[1]
    taps, gated = np.empty(in_w.shape[1], np.float32), np.empty(width, np.float32)
    gate, sums = np.empty(2 * width, np.float32), np.empty(2 * width, np.float32)
    scratch, raw = (taps, gate, gated, sums), np.empty(end_b.shape[0], np.float32)
    inputs = np.empty(start_w.shape[0], np.float32)
    draws = np.empty(raw.shape[0] // 3 if family[0] == LOGISTIC else raw.shape[0], np.float64)
    for t in range(out[0].shape[0]):
        log_gain = log_gains[(first + t) // block]
        prediction = 0.0
        for k in range(order):
            prediction += coefficients[(first + t) // block, k] * history[k]
        inverse_gain = math.exp(-log_gain)
        inputs[0] = history[0]
        if order > 0:
            inputs[0], inputs[1] = math.asinh(excitation[0]), math.asinh(history[0] * inverse_gain)
            inputs[2] = math.asinh(prediction * inverse_gain)
        sums[:width], sums[width:] = start_b, 0.0
        _accumulate(start_w, inputs, sums[:width])
        _layers(weights, state, gates[(first + t) // hop], scratch)
        raw[:] = end_b
        _accumulate(end_w, sums[width:], raw)
        params = out[2][t % out[2].shape[0]]
        _place(family, raw, prediction, log_gain, params)
        if forced.shape[0] > 0:
            x = float(forced[t])
        else:
            x, out[1][t] = _draw(family[0], params, noise[0][t], noise[1][t], draws)
        out[0][t] = x
        x = float(out[0][t])  # as it is rounded there
        excitation[0] = (x - prediction) * inverse_gain
        _remember(history, x)


def _compiled(function: Any) -> Any:
    """Compile when first called, and keep the result on disk where there is a folder for it."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


generate = _compiled(_generate)
