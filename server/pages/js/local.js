/** Models that run in this browser without the server. `make page` writes their files. */

import { decode } from "./dom.js";
import { noise } from "./noise.js";
import { readNpy, writeNpy } from "./npy.js";
import { ask, Problem } from "./server.js";
import { canMake, melOf } from "./spectra.js";
import { wavOf } from "./wav.js";

const FILES = new URL("../local/", import.meta.url);

let worker = null;
let index = null;

/** The models: { models, alone }. A server's page has none; `alone` is true in a copy without a server. */
export async function models() {
  index ??= await ask(new URL("index.json", FILES)).then((answer) => answer.json(), () => ({ models: [], alone: false }));
  const placed = ({ name, ...model }) => ({ ...model, name: `${name} (in this browser)`, plain: name, local: true });
  return { ...index, models: index.models.map(placed) };
}

/** Compute a recording's mel for a model, as the bytes of an npy file. */
export async function mel(recording, { mel: config, filterbank }) {
  if (!canMake(config)) throw new Problem("No mel", `Only the server can compute mels of ${config.name}.`);
  const x = await decode(recording, config.sample_rate).catch(() => null);
  if (!(x?.length >= config.n_fft)) throw new Problem("No audio", "This browser cannot decode this file, or it is too short.");
  return writeNpy(melOf(x, config, await readNpy(await (await ask(new URL(filterbank, FILES))).blob())));
}

/** Synthesize a mel with the settings that an exported model supports. */
export async function synthesize(file, settings, model, signal) {
  const mel = await readNpy(file);
  check(mel, settings, model);
  const { z_channels: channels, z_steps_per_frame: steps, mel: config } = model;
  const sigma = settings.sigma === "" ? model.sigma : Number(settings.sigma);
  const z = { values: noise(channels * mel.frames * steps, sigma), shape: [1, channels, mel.frames * steps] };
  const inputs = { z, mel: { values: mel.values, shape: [1, mel.nMels, mel.frames] } };
  const { x, milliseconds } = await run({ file: model.file, inputs }, signal);
  const origin = JSON.stringify({ model: model.plain, version: index.version, seed: null, synthetic: true, dtype: "float32" });
  return {
    ...wavOf(x, config.sample_rate, origin, index.version),
    sampleRate: config.sample_rate,
    realTimeFactor: (milliseconds / 1000) * (config.sample_rate / x.length),
    facts: { "time of inference": `${milliseconds.toFixed(1)} ms` },
  };
}

/** Run an exported model in the worker. Cancelling ends the worker, because a running model cannot be stopped. */
function run(message, signal) {
  worker ??= new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    const end = (error) => {
      worker?.terminate();
      worker = null;
      reject(typeof error === "string" ? new Problem("Failed in the browser", `The model did not run: ${error}.`) : error);
    };
    worker.onmessage = ({ data }) => (data.error ? end(data.error) : resolve(data));
    worker.onerror = (event) => end(event.message || "it could not be loaded");
    signal.addEventListener("abort", () => end(signal.reason), { once: true });
    worker.postMessage(message);
  });
}

/** Raise a problem for inputs and settings that an exported model does not support. */
function check(mel, { seed, denoise, corrections, sharpen, preset }, model) {
  const limits = [
    [!mel, "The mel must be an npy file of floats (n_mels, frames)."],
    [mel?.nMels !== model.mel.n_mels, `The mel has ${mel?.nMels} bands; ${model.plain} takes ${model.mel.n_mels}.`],
    [mel?.frames < model.least_frames, `The mel is too short: it needs ${model.least_frames} frames.`],
    [mel && !mel.values.every(Number.isFinite), "The mel has values that are not finite numbers."],
    [seed !== "", "Only the server supports seeds."],
    [Number(denoise) > 0, "Only the server can remove hum."],
    [corrections && Number(corrections) !== model.corrections, `In the browser, this model always makes ${model.corrections} corrections.`],
    [sharpen !== "", "Only the server can change the sharpening; here it is automatic."],
    [preset && preset !== model.mel.name, "Only the server can convert mels of other presets."],
  ];
  const wrong = limits.find(([applies]) => applies);
  if (wrong) throw new Problem("Not in the browser", wrong[1]);
}
