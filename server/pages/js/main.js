/** The page: a recording or a mel goes in, each chosen model speaks it, and all clips are shown side by side. */

import { Clip } from "./clip.js";
import { byId, element } from "./dom.js";
import { Gallery } from "./gallery.js";
import { Input } from "./input.js";
import { Local } from "./local.js";
import { Models } from "./models.js";
import { Player } from "./player.js";
import { Problem, Server } from "./server.js";
import { Voices } from "./voices.js";
import { problemBox, settingsLine, size, speechFacts } from "./words.js";

const RELOAD_MILLISECONDS = 2000;
const MODELS = "models"; // what a problem is about when the server did not tell its models
const KEY_WANTED = new Set([401, 403]);

class Page {
  constructor() {
    this.voices = new Voices(new Server(() => byId("key").value.trim()), new Local());
    this.models = new Models(byId("models"));
    const player = new Player(byId("bar"), byId("play"), byId("switch"), byId("loop"));
    this.gallery = new Gallery(byId("clips"), player, byId("reference-row"), byId("reference"));
    const parts = { zone: byId("drop"), field: byId("file"), example: byId("example") };
    this.input = new Input(parts, (given) => this.take(given), () => this.report(new Problem("No example", "It did not come."), ""));
    this.given = null;
    this.running = null;
    this.made = 0;
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.speak();
    });
    byId("cancel").addEventListener("click", () => this.running?.abort());
    byId("key-use").addEventListener("click", () => this.askModels());
  }

  async begin() {
    await this.askModels();
    await this.input.useExample(true);
  }

  /** Ask for the models, again and again until all have loaded or failed. */
  async askModels() {
    let again = false;
    try {
      const answer = await this.voices.models();
      this.clearProblems(true);
      this.models.show(answer.models);
      this.offerPresets(answer);
      again = answer.models.some((model) => model.state === "loading");
    } catch (problem) {
      this.clearProblems(true);
      this.report(problem, MODELS);
      again = problem.status === 0 || problem.retryAfter !== null;
    }
    clearTimeout(this.timer);
    if (again) this.timer = setTimeout(() => this.askModels(), RELOAD_MILLISECONDS);
  }

  /** Offer the contracts that a model here accepts, and say which only an adapter can take to the model's own. */
  offerPresets({ models, mel_presets: names = [] }) {
    const accepted = new Map(models.flatMap((model) => model.accepts ?? []).map(({ preset, how }) => [preset, how]));
    const offered = accepted.size ? names.filter((name) => accepted.has(name)) : names;
    const label = (name) => (accepted.get(name) === "adapter" ? `${name} (through an adapter)` : name);
    const [own, auto] = byId("preset").options;
    const { value } = byId("preset");
    byId("preset").replaceChildren(own, auto, ...offered.map((name) => element("option", { value: name }, label(name))));
    byId("preset").value = value === "auto" || offered.includes(value) ? value : "";
  }

  /** Show what a person brought, in place of everything before. */
  async take(given) {
    this.running?.abort();
    this.given = { ...given, mels: new Map() };
    this.clearProblems();
    this.say("");
    const recording = given.kind === "recording";
    byId("preset-row").hidden = recording;
    byId("chosen").textContent = `${recording ? "Recording" : "Mel"}: ${given.name}, ${size(given.file.size)}`;
    await this.gallery.remove(() => true);
    if (this.given.file !== given.file) return;
    const sampleRate = this.models.firstContract()?.sample_rate;
    const facts = recording || !given.mel ? [] : [["shape", `${given.mel.nMels} bands, ${given.mel.frames} frames`]];
    const source = recording ? { file: given.file, name: "Original" } : { mel: given.mel, name: "Mel" };
    await this.gallery.add(new Clip({ id: "given", about: given.name, sampleRate, facts, ...source }));
  }

  /** Have each chosen model speak, one after the other, so that none slows another down. */
  async speak() {
    const chosen = this.models.chosen();
    this.clearProblems();
    if (!this.given) return this.report(new Problem("Nothing to speak", "Choose a recording or a mel first."), "");
    if (!chosen.length) return this.report(new Problem("No model", "Tick at least one model that is ready."), "");
    this.busy(new AbortController());
    const { running, given } = this;
    const settings = this.settings();
    let spoken = 0;
    try {
      if (!byId("keep").checked) await this.gallery.remove((clip) => clip.id !== "given");
      for (const model of chosen) {
        this.say(`${model.name} is speaking …`);
        spoken += await this.speakWith(model, given, settings, running.signal);
      }
      this.say(`Done: ${spoken} of ${chosen.length} ${chosen.length === 1 ? "model" : "models"} spoke.`);
    } catch (error) {
      if (error.name === "AbortError") this.say("Cancelled.");
      else this.report(error, given.name);
      if (error.name !== "AbortError") this.say("Nothing more was spoken.");
    } finally {
      if (this.running === running) this.busy(null);
    }
  }

  /** Show what one model makes of it; return 1, or 0 where the model would not. What no model could do is thrown. */
  async speakWith(model, given, settings, signal) {
    const mel = given.kind === "mel" ? given.file : await this.melOf(given, model, signal);
    let speech;
    try {
      speech = await this.voices.speak(mel, settings, model, signal);
    } catch (problem) {
      if (!(problem instanceof Problem) || KEY_WANTED.has(problem.status)) throw problem;
      this.report(problem, model.name);
      return 0;
    }
    signal.throwIfAborted();
    await this.gallery.add(this.clipOf(model, speech, settings, given.kind === "mel" ? null : mel));
    return 1;
  }

  clipOf(model, speech, settings, mel) {
    const stem = `${model.name.replaceAll(/[^\w.-]+/g, "_")}-seed${speech.seed}`;
    const links = [["Download WAV", speech.sound, `${stem}.wav`]];
    if (mel) links.push(["its mel (npy)", mel, `${stem}-mel.npy`]);
    this.made += 1;
    return new Clip({
      id: `clip-${this.made}`,
      name: byId("keep").checked ? `${model.name}, seed ${speech.seed}` : model.name,
      about: [`${model.family} model`, settingsLine(settings)].filter(Boolean).join(", "),
      file: speech.sound,
      sampleRate: speech.sampleRate,
      facts: speechFacts(speech),
      links,
    });
  }

  /** The mel of a recording as a model expects it; models of one contract share it. */
  async melOf(given, model, signal) {
    const contract = JSON.stringify(model.mel);
    if (!given.mels.has(contract)) given.mels.set(contract, await this.voices.mel(given.file, model, signal));
    return given.mels.get(contract);
  }

  settings() {
    const preset = this.given.kind === "mel" ? byId("preset").value : "";
    const fields = ["sigma", "seed", "denoise", "corrections"].map((name) => [name, byId(name).value]);
    return { ...Object.fromEntries(fields), preset };
  }

  busy(running) {
    this.running = running;
    byId("speak").disabled = Boolean(running);
    byId("cancel").hidden = !running;
    byId("results").setAttribute("aria-busy", String(Boolean(running)));
  }

  say(text) {
    byId("status").textContent = text;
  }

  report(problem, subject) {
    if (!(problem instanceof Problem)) throw problem;
    byId("problems").append(problemBox(problem, subject));
    if (!KEY_WANTED.has(problem.status)) return;
    byId("key-row").hidden = false;
    byId("key").focus();
  }

  /** Take away the problems that are over: those with the models when they come, all others with a new attempt. */
  clearProblems(models = false) {
    for (const box of [...byId("problems").children]) {
      if ((box.dataset.subject === MODELS) === models) box.remove();
    }
  }
}

new Page().begin();
