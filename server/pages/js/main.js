/** The page: a recording or a mel goes in, each chosen model synthesizes it, and all clips are shown side by side. */

import { Clip } from "./clip.js";
import { byId, element } from "./dom.js";
import { Gallery } from "./gallery.js";
import { Input } from "./input.js";
import { Local } from "./local.js";
import { Models } from "./models.js";
import { Problem, Server } from "./server.js";
import { problemBox, settingsLine, size, speechFacts } from "./words.js";

const RELOAD_MILLISECONDS = 2000;
const MODELS = "models"; // the subject of a problem with the list of models
const KEY_WANTED = new Set([401, 403]);

const server = new Server(() => byId("key").value.trim());
const local = new Local();
const models = new Models(byId("models"));
const gallery = new Gallery(byId("clips"), byId("reference-row"), byId("reference"));
const parts = { zone: byId("drop"), field: byId("file"), example: byId("example") };
const input = new Input(parts, take, () => report(new Problem("No example", "The example did not arrive."), ""));
let given = null;
let running = null;
let made = 0;
let timer = null;

/** Ask for the models until all have loaded or failed: the server's first, then those of this browser. */
async function askModels() {
  let again = false;
  try {
    const own = await local.models();
    const answer = own.alone ? { models: [] } : await server.models();
    const found = [...answer.models, ...own.models];
    clearProblems(true);
    models.show(found);
    offerPresets(found, answer.mel_presets ?? []);
    again = found.some((model) => model.state === "loading");
  } catch (problem) {
    clearProblems(true);
    report(problem, MODELS);
    again = problem.status === 0 || problem.retryAfter !== null;
  }
  clearTimeout(timer);
  if (again) timer = setTimeout(askModels, RELOAD_MILLISECONDS);
}

/** Offer the presets that a model here accepts, and say which need an adapter. */
function offerPresets(found, names) {
  const accepted = new Map(found.flatMap((model) => model.accepts ?? []).map((entry) => [entry.preset, entry]));
  const offered = accepted.size ? names.filter((name) => accepted.has(name)) : names;
  const label = (name) => {
    const { aliases = [], how } = accepted.get(name) ?? {};
    return [name, ...aliases].join(", ") + (how === "adapter" ? " (through an adapter)" : "");
  };
  const [own, auto] = byId("preset").options;
  const { value } = byId("preset");
  byId("preset").replaceChildren(own, auto, ...offered.map((name) => element("option", { value: name }, label(name))));
  byId("preset").value = value === "auto" || offered.includes(value) ? value : "";
}

/** Show a new input in place of everything before. */
async function take(brought) {
  running?.abort();
  given = { ...brought, mels: new Map() };
  clearProblems();
  say("");
  const { kind, name, file, mel } = given;
  byId("preset-row").hidden = kind === "recording";
  byId("chosen").textContent = `${kind === "recording" ? "Recording" : "Mel"}: ${name}, ${size(file.size)}`;
  await gallery.remove(() => true);
  if (given.file !== file) return;
  const facts = mel ? [["shape", `${mel.nMels} bands, ${mel.frames} frames`]] : [];
  const source = kind === "recording" ? { file, name: "Original" } : { mel, name: "Mel" };
  await gallery.add(new Clip({ id: "given", about: name, sampleRate: models.firstConfig()?.sample_rate, facts, ...source }));
}

/** Run the chosen models one after the other, so that none slows another down. */
async function synthesize() {
  const chosen = models.chosen();
  clearProblems();
  if (!given) return report(new Problem("No input", "Choose a recording or a mel first."), "");
  if (!chosen.length) return report(new Problem("No model", "Tick at least one model that is ready."), "");
  const [mine, source, settings] = [new AbortController(), given, readSettings()];
  busy(mine);
  let done = 0;
  try {
    if (!byId("keep").checked) await gallery.remove((clip) => clip.id !== "given");
    for (const model of chosen) {
      say(`Synthesizing with ${model.name} …`);
      done += await synthesizeWith(model, source, settings, mine.signal);
    }
    say(`Done: ${done} of ${chosen.length} ${chosen.length === 1 ? "model" : "models"}.`);
  } catch (error) {
    say(error.name === "AbortError" ? "Cancelled." : "Stopped.");
    if (error.name !== "AbortError") report(error, source.name);
  } finally {
    if (running === mine) busy(null);
  }
}

/** Show the result of one model; return 1, or 0 if this model failed. A problem that concerns all models is thrown. */
async function synthesizeWith(model, source, settings, signal) {
  const backend = model.provider ? local : server;
  const config = JSON.stringify(model.mel); // models with the same mel config share the mel
  if (source.kind === "recording" && !source.mels.has(config)) {
    source.mels.set(config, await backend.mel(source.file, model, signal));
  }
  const mel = source.mels.get(config) ?? source.file;
  let speech;
  try {
    speech = await backend.synthesize(mel, settings, model, signal);
  } catch (problem) {
    if (!(problem instanceof Problem) || KEY_WANTED.has(problem.status)) throw problem;
    report(problem, model.name);
    return 0;
  }
  signal.throwIfAborted();
  await gallery.add(clipOf(model, speech, settings, source.kind === "recording" ? mel : null));
  return 1;
}

function clipOf(model, speech, settings, mel) {
  made += 1;
  const stem = `${model.name.replaceAll(/[^\w.-]+/g, "_")}-${speech.seed ? `seed${speech.seed}` : made}`;
  const links = [["Download WAV", speech.sound, `${stem}.wav`]];
  if (mel) links.push(["its mel (npy)", mel, `${stem}-mel.npy`]);
  return new Clip({
    id: `clip-${made}`,
    name: byId("keep").checked ? `${model.name}, ${speech.seed ? `seed ${speech.seed}` : made}` : model.name,
    about: [`${model.family} model`, settingsLine(settings)].filter(Boolean).join(", "),
    file: speech.sound,
    sampleRate: speech.sampleRate,
    facts: speechFacts(speech),
    links,
  });
}

function readSettings() {
  const fields = ["sigma", "seed", "denoise", "corrections"].map((name) => [name, byId(name).value]);
  return { ...Object.fromEntries(fields), preset: given.kind === "mel" ? byId("preset").value : "" };
}

function busy(controller) {
  running = controller;
  byId("speak").disabled = Boolean(running);
  byId("cancel").hidden = !running;
  byId("results").setAttribute("aria-busy", String(Boolean(running)));
}

function say(text) {
  byId("status").textContent = text;
}

function report(problem, subject) {
  if (!(problem instanceof Problem)) throw problem;
  byId("problems").append(problemBox(problem, subject));
  if (!KEY_WANTED.has(problem.status)) return;
  byId("key-row").hidden = false;
  byId("key").focus();
}

/** Remove problems that are over: those with the list of models when it arrives, all others with a new attempt. */
function clearProblems(ofModels = false) {
  for (const box of [...byId("problems").children]) if ((box.dataset.subject === MODELS) === ofModels) box.remove();
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  synthesize();
});
byId("cancel").addEventListener("click", () => running?.abort());
byId("key-use").addEventListener("click", askModels);
await askModels();
await input.useExample(true);
