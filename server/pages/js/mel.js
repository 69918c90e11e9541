/** Computes a recording's mel in this page, as the server does. */

import { spectra } from "./fft.js";

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
