"""Sample-by-sample generation by a causal gated stack, with one Gaussian per sample.

Matrices are stored input-major, so that inner loops run over outputs, which vectorises. The weights are read once per
sample, from front to back, and the speed is limited by the bandwidth of the cache.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types

from vocoder.kernels import memory
from vocoder.kernels.gate import gate_row
from vocoder.kernels.intrinsics import entry, instruction

FLOAT = np.float32
Plan = tuple[memory.Hypercube, memory.DoubleCube, memory.DoubleMatrix]
"""offsets (B, positions, layers, 2 * gate), and coefficients (B, blocks, order) and log-gains (B, blocks) of the linear
prediction; positions and blocks are equal parts of T"""
Affine = tuple[memory.Matrix, memory.Row]
Layers = tuple[memory.FirstCube, memory.FirstCube, memory.Matrix, memory.Integers]
Weights = tuple[Affine, Layers, Affine, Affine]
"""see `vocoder.autoregressive.loop_weights`: the first layer, the gated ones, and those after a ReLU"""
State = tuple[memory.Cube, memory.IntegerMatrix, memory.DoubleMatrix, memory.DoubleMatrix]
"""the rings of the layers' last inputs and their slots, the last samples, latest first, and the last excitation"""
Signals = tuple[memory.DoubleMatrix, memory.Matrix, memory.Matrix]
"""the noise (B, T), the samples that it becomes, and log |dx / dz| of each"""


@instruction(lambda stored: types.float32(stored))
def _weight(builder: Any, kind: Any, stored: Any) -> Any:
    """Return a stored weight, float32 or the bits of a float16, as float32."""
    return stored if stored.type == kind else builder.fpext(builder.bitcast(stored, ir.HalfType()), kind)


@njit(fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _accumulate(weights: Any, x: Any, y: Any) -> None:
    """Add the product of x (inputs,) and weights (inputs, outputs) to y, four inputs per pass over y."""
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
def _layers(layers: Any, rings: Any, slots: Any, offsets: Any, scratch: Any) -> None:
    """Run the layers for one sample; `sums` holds the hidden vector, followed by the sum of the skips."""
    (in_w, res_w, res_b, dilations), (taps, gates, gated, sums, _, _) = layers, scratch
    width = rings.shape[1]
    past, start = taps.shape[0] // width - 1, 0
    for layer in range(in_w.shape[0]):
        dilation, slot = dilations[layer], slots[layer]
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
            start += period
        for j in range(gates.shape[0]):
            gates[j] = FLOAT(0.0)
        for j in range(sums.shape[0]):
            sums[j] += res_b[layer, j]
        _accumulate(in_w[layer], taps, gates)
        gate_row(gates, offsets[layer], gated)
        _accumulate(res_w[layer], gated, sums)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _network(weights: Any, rings: Any, slots: Any, inputs: Any, offsets: Any, scratch: Any) -> None:
    """Map the stack's inputs for one sample to its output, the last array of `scratch`."""
    (start_w, start_b), layers, (middle_w, middle_b), (end_w, end_b) = weights
    _, _, _, sums, middle, raw = scratch
    width = start_b.shape[0]
    sums[:width], sums[width:] = start_b, FLOAT(0.0)
    _accumulate(start_w, inputs, sums[:width])
    _layers(layers, rings, slots, offsets, scratch)
    raw[:] = end_b
    if middle_w.shape[0] == 0:
        _accumulate(end_w, sums[width:], raw)
        return
    middle[:] = middle_b
    _accumulate(middle_w, np.maximum(sums[width:], FLOAT(0.0)), middle)
    np.maximum(middle, FLOAT(0.0), middle)
    _accumulate(end_w, middle, raw)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _floored(log_s: float, floor: float) -> float:
    """Bound a log-scale softly from below; minus infinity leaves it unchanged."""
    if floor == -np.inf:
        return log_s
    above = log_s - floor
    return floor + max(above, 0.0) + math.log1p(math.exp(-abs(above)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _utterance(plan: Any, bounds: Any, weights: Any, state: Any, signals: Any) -> None:
    """Generate the samples of one utterance."""
    (offsets, coefficients, log_gains), (floor, limit), (noise, x, log_stretch) = plan, bounds, signals
    hop, block = noise.shape[0] // offsets.shape[0], noise.shape[0] // log_gains.shape[0]
    rings, slots, past, excitation = state
    (start_w, _), (in_w, res_w, _, _), (_, middle_b), (_, end_b) = weights
    inputs = np.empty(start_w.shape[0], FLOAT)
    taps, gated = np.empty(in_w.shape[1], FLOAT), np.empty(res_w.shape[1], FLOAT)
    gates, sums = np.empty(in_w.shape[2], FLOAT), np.empty(res_w.shape[2], FLOAT)
    middle, raw = np.empty(middle_b.shape[0], FLOAT), np.empty(end_b.shape[0], FLOAT)
    scratch = taps, gates, gated, sums, middle, raw
    for t in range(noise.shape[0]):
        number, prediction = t // block, 0.0
        log_gain = log_gains[number]
        gain = math.exp(log_gain)
        for k in range(coefficients.shape[1]):
            prediction += coefficients[number, k] * past[k]
        inputs[0] = excitation[0]
        if inputs.shape[0] > 1:
            inputs[0], inputs[1] = math.asinh(excitation[0]), math.asinh(past[0] / gain)
            inputs[2] = math.asinh(prediction / gain)
        _network(weights, rings, slots, inputs, offsets[t // hop], scratch)
        log_s = _floored(log_gain + raw[1], floor)
        sample, bound = prediction + gain * raw[0] + math.exp(log_s) * noise[t], limit * gain
        log_stretch[t] = log_s
        x[t] = min(max(sample, prediction - bound), prediction + bound)
        sample = np.float64(x[t])  # rounded to float32
        excitation[0] = (sample - prediction) / gain
        for k in range(past.shape[0] - 1, 0, -1):
            past[k] = past[k - 1]
        past[0] = sample


@entry(stripe=1)
def generated(
    items: range, bounds: tuple[float, float], plan: Plan, weights: Weights, state: State, signals: Signals
) -> None:
    """Generate samples, and update the state; rows are the utterances of the batch.

    A network with three inputs is also fed the last sample and the prediction. The bounds are the soft floor of
    log-scales, and the limit that the excitation is clamped to.
    """
    (offsets, coefficients, log_gains), (rings, slots, history, excitation), (noise, x, log_s) = plan, state, signals
    for b in items:
        own, past = (offsets[b], coefficients[b], log_gains[b]), (rings[b], slots[b], history[b], excitation[b])
        _utterance(own, bounds, weights, past, (noise[b], x[b], log_s[b]))
