/** A recording's mel, computed in this page as on the server. */

import { Fft, hann } from "./fft.js";

/**
 * The mel { values (n_mels, frames), nMels, frames } of samples x for a mel config (`mel` of the server's models).
 *
 * `bank` is the filterbank { values (n_mels, bins), nMels, frames: bins }. x must be longer than the reflected part.
 */
export function melOf(x, config, bank) {
  const { n_fft: nFft, hop_length: hop, n_mels: nMels } = config;
  const padding = config.centre === "reflect" ? nFft / 2 : (nFft - hop) / 2;
  const frames = Math.max(0, 1 + Math.floor((x.length + 2 * padding - nFft) / hop));
  const log = config.log === "ln" ? Math.log : Math.log10;
  const values = new Float32Array(nMels * frames);
  const magnitudes = spectra(x, config, padding);
  const rows = Array.from({ length: nMels }, (_, band) => nonZero(bank, band));
  for (let frame = 0; frame < frames; frame++) {
    const magnitude = magnitudes(frame);
    rows.forEach(({ first, weights }, band) => {
      const energy = weights.reduce((sum, weight, k) => sum + weight * magnitude[first + k], 0);
      values[band * frames + frame] = log(Math.max(energy, config.floor));
    });
  }
  return { values, nMels, frames };
}

/** Whether `melOf` can compute mels of a config. */
export function canMake(config) {
  return ["ln", "log10"].includes(config.log) && config.mean === null;
}

/** A function from a frame's number to its magnitudes (or powers), which the next call overwrites. */
function spectra(x, config, padding) {
  const { n_fft: nFft, win_length: length } = config;
  const fft = new Fft(nFft);
  const window = new Float64Array(nFft);
  window.set(hann(length), Math.floor((nFft - length) / 2));
  const [re, im, magnitude] = [nFft, nFft, nFft / 2 + 1].map((size) => new Float64Array(size));
  const last = x.length - 1;
  return (frame) => {
    for (let k = 0; k < nFft; k++) {
      const place = Math.abs(frame * config.hop_length - padding + k);
      re[k] = window[k] * x[place > last ? 2 * last - place : place];
    }
    im.fill(0);
    fft.transform(re, im);
    for (let bin = 0; bin < magnitude.length; bin++) {
      const power = re[bin] ** 2 + im[bin] ** 2 + config.magnitude_epsilon;
      magnitude[bin] = config.power === 2 ? power : Math.sqrt(power);
    }
    return magnitude;
  };
}

/** The bins of a band from its first to its last weight. */
function nonZero({ values, frames: bins }, band) {
  const row = values.subarray(band * bins, (band + 1) * bins);
  const first = Math.max(row.findIndex((weight) => weight > 0), 0);
  return { first, weights: row.subarray(first, row.findLastIndex((weight) => weight > 0) + 1) };
}
