/** Models that speak in this browser, without the server: what `make page` wrote beside the page. */

import { canMake, melOf } from "./mel.js";
import { whiteNoise } from "./noise.js";
import { readNpy, writeNpy } from "./npy.js";
import { Problem } from "./server.js";
import { decode } from "./sound.js";
import { wavOf } from "./wav.js";

const FILES = new URL("../local/", import.meta.url);
const PLACES = { wasm: "in this browser", webgpu: "in this browser, WebGPU" };

/** Answers as `Server` does, for the models of the folder. */
export class Local {
  constructor() {
    this.worker = null;
    this.index = null;
    this.banks = new Map();
  }

  /** What there is: { models, alone }, `alone` where the page is a copy without a server. */
  async models() {
    this.index ??= await this.#read("index.json", (answer) => answer.json());
    const gpu = this.index.webgpu && (await navigator.gpu?.requestAdapter().catch(() => null));
    const providers = gpu ? ["wasm", "webgpu"] : ["wasm"];
    const shown = (model, provider) => ({ ...model, name: `${model.name} (${PLACES[provider]})`, spoken: model.name, provider });
    return { ...this.index, models: this.index.models.flatMap((model) => providers.map((provider) => shown(model, provider))) };
  }

  /** The mel, as the bytes of an npy file, that a model expects of a recording. */
  async mel(recording, model) {
    if (!canMake(model.mel)) throw new Problem("No mel", `The mels of ${model.mel.name} are made by the server only.`);
    let x;
    try {
      x = await decode(recording, model.mel.sample_rate);
    } catch {
      throw new Problem("No audio", "This browser cannot read this file.");
    }
    if (x.length < model.mel.n_fft) throw new Problem("Too short", "The recording is too short to have a mel.");
    if (!this.banks.has(model.filterbank)) {
      this.banks.set(model.filterbank, await this.#read(model.filterbank, async (answer) => readNpy(await answer.blob())));
    }
    return writeNpy(melOf(x, model.mel, this.banks.get(model.filterbank)));
  }

  /** Have a model speak a mel; the settings are those of the server, as far as a program has them. */
  async speak(file, settings, model, signal) {
    const mel = await readNpy(file);
    check(mel, settings, model);
    const seed = settings.seed === "" ? crypto.getRandomValues(new Uint32Array(1))[0] : BigInt(settings.seed);
    const sigma = settings.sigma === "" ? model.sigma : Number(settings.sigma);
    const { z_channels: channels, z_steps_per_frame: steps } = model;
    const started = performance.now();
    const z = whiteNoise(seed, mel.frames, channels, steps, sigma);
    const inputs = {
      z: { values: z, shape: [1, channels, mel.frames * steps] },
      mel: { values: mel.values, shape: [1, mel.nMels, mel.frames] },
    };
    const { x, milliseconds } = await this.#run({ file: model.file, provider: model.provider, inputs }, signal);
    const origin = { model: model.spoken, version: this.index.version, seed: 0, synthetic: true };
    const told = JSON.stringify(origin).replace('"seed":0', `"seed":${seed}`); // which may be beyond a number's digits
    const { sound, clipped } = wavOf(x, model.mel.sample_rate, told, this.index.version);
    return {
      sound,
      clipped,
      milliseconds: performance.now() - started,
      seed: String(seed),
      sampleRate: model.mel.sample_rate,
      realTimeFactor: (milliseconds / 1000) * (model.mel.sample_rate / x.length),
      stages: { infer: milliseconds },
      guard: [],
    };
  }

  /** Have the worker run a program; who cancels ends the worker, since a program that runs cannot be stopped. */
  #run(message, signal) {
    this.worker ??= new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const { worker } = this;
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

  async #read(name, take) {
    const answer = await fetch(new URL(name, FILES)).catch(() => null);
    if (!answer?.ok) throw new Problem("Not complete", `The file local/${name} is missing beside this page.`);
    return take(answer);
  }
}

/** Refuse what a program cannot do. */
function check(mel, settings, model) {
  const wrong = (detail) => new Problem("Not in the browser", detail);
  if (!mel) throw wrong("A mel has to be an npy file of floats (n_mels, frames).");
  if (mel.nMels !== model.mel.n_mels) throw wrong(`The mel has ${mel.nMels} bands, and ${model.spoken} takes ${model.mel.n_mels}.`);
  if (mel.frames < model.least_frames) throw wrong(`The mel is too short: ${model.least_frames} frames are the fewest.`);
  if (Number(settings.denoise) > 0) throw wrong("denoise is done by the server only.");
  if (settings.corrections !== "" && Number(settings.corrections) !== model.corrections) {
    throw wrong(`corrections are ${model.corrections} in this program; another number takes the server.`);
  }
  if (settings.preset && settings.preset !== model.mel.name) throw wrong("Mels of other contracts are converted by the server only.");
}

function failed(reason) {
  return new Problem("Failed in the browser", `The program did not run: ${reason}.`);
}
