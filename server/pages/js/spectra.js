/** The fast Fourier transform, spectrograms in decibels, and mels as the server computes them. */

/** Return a function that transforms n points re + i im, n a power of two, to [re, im] (Stockham, radix 2). */
export function fft(n) {
  const cos = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const sin = Float64Array.from({ length: n / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / n));
  const spare = [new Float64Array(n), new Float64Array(n)];
  return (re, im) => {
    let [x, y] = [[re, im], spare];
    for (let stride = 1; stride < n; stride *= 2) {
      for (let k = 0; k < n / 2; k++) {
        const [turn, to] = [k - (k % stride), 2 * k - (k % stride)];
        const [real, imag] = [x[0][k] - x[0][k + n / 2], x[1][k] - x[1][k + n / 2]];
        y[0][to] = x[0][k] + x[0][k + n / 2];
        y[1][to] = x[1][k] + x[1][k + n / 2];
        y[0][to + stride] = cos[turn] * real - sin[turn] * imag;
        y[1][to + stride] = cos[turn] * imag + sin[turn] * real;
      }
      [x, y] = [y, x];
    }
    return x;
  };
}

/** Yield the power spectra of x with Hann windows of `winLength` samples, for whole frames. Each overwrites the last. */
export function* spectra(x, nFft, winLength, hop) {
  const transform = fft(nFft);
  const left = Math.floor((nFft - winLength) / 2);
  const window = Float64Array.from({ length: winLength }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / winLength));
  const [re, im, power] = [nFft, nFft, nFft / 2 + 1].map((size) => new Float64Array(size));
  for (let start = 0; start + nFft <= x.length; start += hop) {
    for (const values of [re, im]) values.fill(0);
    for (let k = 0; k < winLength; k++) re[left + k] = window[k] * x[start + left + k];
    const [real, imag] = transform(re, im);
    for (let bin = 0; bin < power.length; bin++) power[bin] = real[bin] ** 2 + imag[bin] ** 2;
    yield power;
  }
}

/**
 * The levels of x in decibels, with frame i centred on sample i * hop and silence beyond the ends of x.
 * A full-scale sine has 0 dB. Returns { levels (frames * bins, frame after frame), frames, bins }.
 */
export function spectrogram(x, nFft, hop) {
  const padded = new Float32Array(x.length + nFft);
  padded.set(x, nFft / 2);
  const [bins, frames] = [nFft / 2 + 1, 1 + Math.floor(x.length / hop)];
  const levels = new Float32Array(frames * bins);
  const scale = (4 / nFft) ** 2; // the window's mean is 1/2, and half of a sine's amplitude is at negative frequencies
  let place = 0;
  for (const powers of spectra(padded, nFft, nFft, hop)) {
    for (const power of powers) levels[place++] = 10 * Math.log10(Math.max(scale * power, 1e-14));
  }
  return { levels, frames, bins };
}

/**
 * Return the mel { values (n_mels, frames), nMels, frames } of samples x for a mel config (`mel` of /v1/models).
 *
 * The last argument is the filterbank, with values (n_mels, bins). x must be longer than the reflected part.
 */
export function melOf(x, config, { values: weights, nMels, frames: bins }) {
  const { n_fft: nFft, hop_length: hop } = config;
  const padding = config.centre === "reflect" ? nFft / 2 : (nFft - hop) / 2;
  const last = x.length - 1;
  const padded = Float64Array.from({ length: x.length + 2 * padding }, (_, index) => {
    const place = Math.abs(index - padding);
    return x[place > last ? 2 * last - place : place];
  });
  const log = config.log === "ln" ? Math.log : Math.log10;
  const rows = Array.from({ length: nMels }, () => []);
  for (const power of spectra(padded, nFft, config.win_length, hop)) {
    const magnitude = power.map((value) => (value + config.magnitude_epsilon) ** (config.power / 2));
    rows.forEach((row, band) => {
      let energy = 0;
      for (let bin = 0; bin < bins; bin++) energy += weights[band * bins + bin] * magnitude[bin];
      row.push(log(Math.max(energy, config.floor)));
    });
  }
  return { values: Float32Array.from(rows.flat()), nMels, frames: rows[0].length };
}

/** Whether `melOf` can compute mels of a config. */
export const canMake = (config) => ["ln", "log10"].includes(config.log) && config.mean === null;
