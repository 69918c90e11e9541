/** The fast Fourier transform, and spectrograms in decibels. */

/** A transform of n points, n a power of two. */
export class Fft {
  constructor(n) {
    this.n = n;
    this.cos = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
    this.sin = Float64Array.from({ length: n / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / n));
    this.reversed = new Uint32Array(n);
    for (let index = 1; index < n; index++) this.reversed[index] = (this.reversed[index >> 1] + (index & 1) * n) >> 1;
  }

  /** Transform re + i im in place: iterative, radix 2, decimation in time. */
  transform(re, im) {
    const { n, cos, sin, reversed } = this;
    for (const values of [re, im]) {
      for (let a = 0; a < n; a++) {
        const b = reversed[a];
        if (b > a) [values[a], values[b]] = [values[b], values[a]];
      }
    }
    for (let half = 1; half < n; half *= 2) {
      const step = n / 2 / half;
      for (let start = 0; start < n; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const [a, b] = [start + k, start + k + half];
          const [c, s] = [cos[k * step], sin[k * step]];
          const real = c * re[b] - s * im[b];
          const imag = c * im[b] + s * re[b];
          re[b] = re[a] - real;
          im[b] = im[a] - imag;
          re[a] += real;
          im[a] += imag;
        }
      }
    }
  }
}

/** The periodic Hann window. */
export function hann(n) {
  return Float64Array.from({ length: n }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / n));
}

/**
 * The levels of x in decibels, with frame i centred on sample i * hop and silence beyond the ends of x.
 * A full-scale sine has 0 dB. Returns { levels (frames * bins, frame after frame), frames, bins }.
 */
export function spectrogram(x, nFft, hop) {
  const [fft, window, re, im] = [new Fft(nFft), hann(nFft), new Float64Array(nFft), new Float64Array(nFft)];
  const bins = nFft / 2 + 1;
  const frames = 1 + Math.floor(x.length / hop);
  const levels = new Float32Array(frames * bins);
  const scale = 4 / nFft; // the window's mean is 1/2, and half of a sine's amplitude is at negative frequencies
  for (let frame = 0; frame < frames; frame++) {
    const start = frame * hop - nFft / 2;
    for (let k = 0; k < nFft; k++) re[k] = window[k] * (x[start + k] ?? 0);
    im.fill(0);
    fft.transform(re, im);
    for (let bin = 0; bin < bins; bin++) {
      levels[frame * bins + bin] = 20 * Math.log10(Math.max(scale * Math.hypot(re[bin], im[bin]), 1e-7));
    }
  }
  return { levels, frames, bins };
}

/**
 * The difference of two spectrograms in decibels over the frames that both have. Each is smoothed over `patch`
 * { frames, bins }, since noise of the same level is never the same noise, and raised to `floor`.
 * Returns { levels, frames, bins, mean }, mean over the places where either is above the floor.
 */
export function difference(one, other, floor, patch) {
  const { bins } = one;
  const frames = Math.min(one.frames, other.frames);
  const [left, right] = [one, other].map(({ levels }) => smooth(levels, frames, bins, patch));
  const raised = (level) => Math.max(level, floor);
  const levels = left.map((level, index) => raised(level) - raised(right[index]));
  const heard = levels.filter((_, index) => left[index] > floor || right[index] > floor);
  const mean = heard.reduce((sum, level) => sum + Math.abs(level), 0) / Math.max(heard.length, 1);
  return { levels, frames, bins, mean };
}

/** Levels of the mean power over patches of so many frames and bins (odd), smaller at the edges. */
function smooth(levels, frames, bins, patch) {
  const power = Float64Array.from({ length: frames * bins }, (_, index) => 10 ** (levels[index] / 10));
  for (let frame = 0; frame < frames; frame++) runningMean(power, frame * bins, 1, bins, patch.bins);
  for (let bin = 0; bin < bins; bin++) runningMean(power, bin, bins, frames, patch.frames);
  return Float32Array.from(power, (value) => 10 * Math.log10(Math.max(value, 1e-14)));
}

/** Replace the `count` values at start, start + stride, ... by the means of `width` of them around each. */
function runningMean(values, start, stride, count, width) {
  const sums = new Float64Array(count + 1);
  for (let index = 0; index < count; index++) sums[index + 1] = sums[index] + values[start + index * stride];
  for (let index = 0; index < count; index++) {
    const low = Math.max(index - (width - 1) / 2, 0);
    const high = Math.min(index + (width + 1) / 2, count);
    values[start + index * stride] = (sums[high] - sums[low]) / (high - low);
  }
}
