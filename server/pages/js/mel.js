/** A recording's mel, made in this page as the server would make it. */

import { Fft, hann } from "./fft.js";

/**
 * The mel { values (n_mels, frames), nMels, frames } of samples x, as a contract (the server's `mel`) says.
 *
 * `bank` is the filterbank { values (n_mels, bins), nMels, frames: bins }. x must be longer than what is reflected.
 */
export function melOf(x, contract, bank) {
  const { n_fft: nFft, hop_length: hop } = contract;
  const padding = contract.centre === "reflect" ? nFft / 2 : (nFft - hop) / 2;
  const frames = Math.max(0, 1 + Math.floor((x.length + 2 * padding - nFft) / hop));
  const rows = nonZero(bank);
  const values = new Float32Array(contract.n_mels * frames);
  const take = framesOf(x, contract, padding);
  for (let frame = 0; frame < frames; frame++) {
    const magnitude = take(frame);
    rows.forEach(({ first, weights }, band) => {
      let energy = 0;
      for (let k = 0; k < weights.length; k++) energy += weights[k] * magnitude[first + k];
      const level = Math.max(energy, contract.floor);
      values[band * frames + frame] = contract.log === "ln" ? Math.log(level) : Math.log10(level);
    });
  }
  return { values, nMels: contract.n_mels, frames };
}

/** Whether `melOf` can make mels of a contract. */
export function canMake(contract) {
  return ["ln", "log10"].includes(contract.log) && contract.mean === null;
}

/** A function from the number of a frame to its magnitudes, or powers, which the next call overwrites. */
function framesOf(x, contract, padding) {
  const { n_fft: nFft, win_length: length } = contract;
  const fft = new Fft(nFft);
  const window = new Float64Array(nFft);
  window.set(hann(length), Math.floor((nFft - length) / 2));
  const [re, im] = [new Float64Array(nFft), new Float64Array(nFft)];
  const magnitude = new Float64Array(nFft / 2 + 1);
  const last = x.length - 1;
  return (frame) => {
    const start = frame * contract.hop_length - padding;
    for (let k = 0; k < nFft; k++) {
      const place = Math.abs(start + k);
      re[k] = window[k] * x[place > last ? 2 * last - place : place];
    }
    im.fill(0);
    fft.transform(re, im);
    for (let bin = 0; bin < magnitude.length; bin++) {
      const power = re[bin] ** 2 + im[bin] ** 2 + contract.magnitude_epsilon;
      magnitude[bin] = contract.power === 2 ? power : Math.sqrt(power);
    }
    return magnitude;
  };
}

/** Of each band, the bins from its first to its last that count. */
function nonZero({ values, nMels, frames: bins }) {
  return Array.from({ length: nMels }, (_, band) => {
    const row = values.subarray(band * bins, (band + 1) * bins);
    const first = Math.max(row.findIndex((weight) => weight > 0), 0);
    return { first, weights: row.subarray(first, row.findLastIndex((weight) => weight > 0) + 1) };
  });
}
