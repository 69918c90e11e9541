/** Models that run in this browser without the server. `make page` writes them beside the page. */

import { decode } from "./dom.js";
import { canMake, melOf } from "./mel.js";
import { noise } from "./noise.js";
import { readNpy, writeNpy } from "./npy.js";
import { Problem } from "./server.js";
import { wavOf } from "./wav.js";

const FILES = new URL("../local/", import.meta.url);
const PLACES = { wasm: "in this browser", webgpu: "in this browser, WebGPU" };

/** Answers as `Server` does, for the models of the folder. */
export class Local {
  constructor() {
    Object.assign(this, { worker: null, index: null, banks: new Map() });
  }

  /** The models: { models, alone }, `alone` where the page is a copy without a server. */
  async models() {
    this.index ??= await (await read("index.json")).json();
    const gpu = this.index.webgpu && (await navigator.gpu?.requestAdapter().catch(() => null));
    const providers = gpu ? ["wasm", "webgpu"] : ["wasm"];
    const shown = (model, provider) => ({ ...model, name: `${model.name} (${PLACES[provider]})`, plain: model.name, provider });
    return { ...this.index, models: this.index.models.flatMap((model) => providers.map((provider) => shown(model, provider))) };
  }

  /** The mel of a recording for a model, as the bytes of an npy file. */
  async mel(recording, { mel: config, filterbank }) {
    if (!canMake(config)) throw new Problem("No mel", `Only the server can compute mels of ${config.name}.`);
    const x = await decode(recording, config.sample_rate).catch(() => null);
    if (!x) throw new Problem("No audio", "This browser cannot read this file.");
    if (x.length < config.n_fft) throw new Problem("Too short", "The recording is too short for a mel.");
    if (!this.banks.has(filterbank)) this.banks.set(filterbank, await readNpy(await (await read(filterbank)).blob()));
    return writeNpy(melOf(x, config, this.banks.get(filterbank)));
  }

  /** Synthesize a mel with those of the server's settings that a program has. */
  async synthesize(file, settings, model, signal) {
    const mel = await readNpy(file);
    check(mel, settings, model);
    const { z_channels: channels, z_steps_per_frame: steps, mel: config } = model;
    const sigma = settings.sigma === "" ? model.sigma : Number(settings.sigma);
    const started = performance.now();
    const z = { values: noise(channels * mel.frames * steps, sigma), shape: [1, channels, mel.frames * steps] };
    const inputs = { z, mel: { values: mel.values, shape: [1, mel.nMels, mel.frames] } };
    const { x, milliseconds } = await this.#run({ file: model.file, provider: model.provider, inputs }, signal);
    const { version } = this.index;
    const origin = JSON.stringify({ model: model.plain, version, seed: null, synthetic: true });
    return {
      ...wavOf(x, config.sample_rate, origin, version),
      milliseconds: performance.now() - started,
      sampleRate: config.sample_rate,
      realTimeFactor: (milliseconds / 1000) * (config.sample_rate / x.length),
      stages: { infer: milliseconds },
      guard: [],
    };
  }

  /** Run a program in the worker. Cancelling ends the worker, since a running program cannot be stopped. */
  #run(message, signal) {
    this.worker ??= new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const { worker } = this;
    const failed = (reason) => new Problem("Failed in the browser", `The program did not run: ${reason}.`);
    return new Promise((resolve, reject) => {
      const end = (error) => {
        worker.terminate();
        this.worker = null;
        reject(error);
      };
      worker.onmessage = ({ data }) => (data.error ? end(failed(data.error)) : resolve(data));
      worker.onerror = (event) => end(failed(event.message || "it could not be loaded"));
      signal.addEventListener("abort", () => end(signal.reason), { once: true });
      worker.postMessage(message);
    });
  }
}

async function read(name) {
  const answer = await fetch(new URL(name, FILES)).catch(() => null);
  if (!answer?.ok) throw new Problem("Not complete", `The file local/${name} is missing beside this page.`);
  return answer;
}

/** Refuse what a program cannot do. */
function check(mel, { seed, denoise, corrections, preset }, model) {
  const wrong = (detail) => new Problem("Not in the browser", detail);
  if (!mel) throw wrong("A mel has to be an npy file of floats (n_mels, frames).");
  if (mel.nMels !== model.mel.n_mels) throw wrong(`The mel has ${mel.nMels} bands; ${model.plain} takes ${model.mel.n_mels}.`);
  if (mel.frames < model.least_frames) throw wrong(`The mel is too short: it needs ${model.least_frames} frames.`);
  if (seed !== "") throw wrong("Only the server can repeat a seed.");
  if (Number(denoise) > 0) throw wrong("Only the server has denoise.");
  if (corrections !== "" && Number(corrections) !== model.corrections) {
    throw wrong(`This program has ${model.corrections} corrections; other numbers need the server.`);
  }
  if (preset && preset !== model.mel.name) throw wrong("Only the server converts mels of other presets.");
}
