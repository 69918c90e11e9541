/** The fast Fourier transform, and the spectrogram in decibels that the pictures are made of. */

/** A transform of n points, n a power of two; its tables are made once. */
export class Fft {
  constructor(n) {
    if (n < 2 || (n & (n - 1)) !== 0) throw new RangeError("n must be a power of two");
    this.n = n;
    this.cos = new Float64Array(n / 2);
    this.sin = new Float64Array(n / 2);
    for (let k = 0; k < n / 2; k++) {
      this.cos[k] = Math.cos((2 * Math.PI * k) / n);
      this.sin[k] = -Math.sin((2 * Math.PI * k) / n);
    }
    const bits = Math.log2(n);
    this.reversed = Uint32Array.from({ length: n }, (_, index) => {
      let reverse = 0;
      for (let bit = 0; bit < bits; bit++) reverse |= ((index >> bit) & 1) << (bits - 1 - bit);
      return reverse;
    });
  }

  /** Transform re + i im in place: iterative, radix 2, decimation in time. */
  transform(re, im) {
    this.#reorder(re);
    this.#reorder(im);
    for (let size = 2; size <= this.n; size *= 2) {
      const half = size / 2;
      const step = this.n / size;
      for (let start = 0; start < this.n; start += size) {
        for (let k = 0; k < half; k++) {
          const a = start + k;
          const b = a + half;
          const c = this.cos[k * step];
          const s = this.sin[k * step];
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

  #reorder(values) {
    for (let index = 0; index < this.n; index++) {
      const other = this.reversed[index];
      if (other > index) [values[index], values[other]] = [values[other], values[index]];
    }
  }
}

/** The periodic Hann window. */
export function hann(n) {
  return Float64Array.from({ length: n }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / n));
}

/**
 * The levels of x in decibels, frame i centred on sample i * hop; beyond its ends x is silent.
 * A full-scale sine comes to 0 dB. Returns { levels (frames * bins, frame after frame), frames, bins }.
 */
export function spectrogram(x, nFft, hop) {
  const fft = new Fft(nFft);
  const window = hann(nFft);
  const bins = nFft / 2 + 1;
  const frames = 1 + Math.floor(x.length / hop);
  const levels = new Float32Array(frames * bins);
  const re = new Float64Array(nFft);
  const im = new Float64Array(nFft);
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

/** The largest of many numbers. */
export function largest(values) {
  return values.reduce((most, value) => (value > most ? value : most), -Infinity);
}

/**
 * Level minus level of two spectrograms in decibels, each first smoothed over `patch` { frames, bins } and lifted to
 * `floor`, over the frames that both have. Smoothed, because noise of the same level is never the same noise.
 * Returns { levels, frames, bins, mean }, mean the average size of the difference where either is above the floor.
 */
export function difference(one, other, floor, patch) {
  const { bins } = one;
  const frames = Math.min(one.frames, other.frames);
  const left = smooth(one.levels, frames, bins, patch);
  const right = smooth(other.levels, frames, bins, patch);
  const levels = new Float32Array(frames * bins);
  let sum = 0;
  let count = 0;
  for (let index = 0; index < levels.length; index++) {
    const a = Math.max(left[index], floor);
    const b = Math.max(right[index], floor);
    levels[index] = a - b;
    if (a > floor || b > floor) {
      sum += Math.abs(a - b);
      count += 1;
    }
  }
  return { levels, frames, bins, mean: count ? sum / count : 0 };
}

/** Levels in decibels of the mean power over patches of so many frames and bins (odd), smaller at the edges. */
export function smooth(levels, frames, bins, patch) {
  const power = Float64Array.from({ length: frames * bins }, (_, index) => 10 ** (levels[index] / 10));
  for (let frame = 0; frame < frames; frame++) runningMean(power, frame * bins, 1, bins, patch.bins);
  for (let bin = 0; bin < bins; bin++) runningMean(power, bin, bins, frames, patch.frames);
  return Float32Array.from(power, (value) => 10 * Math.log10(Math.max(value, 1e-14)));
}

/** Replace the `count` values at start, start + stride, ... by the means of `width` of them around each. */
function runningMean(values, start, stride, count, width) {
  const sums = new Float64Array(count + 1);
  for (let index = 0; index < count; index++) sums[index + 1] = sums[index] + values[start + index * stride];
  const half = (width - 1) / 2;
  for (let index = 0; index < count; index++) {
    const low = Math.max(index - half, 0);
    const high = Math.min(index + half + 1, count);
    values[start + index * stride] = (sums[high] - sums[low]) / (high - low);
  }
}
