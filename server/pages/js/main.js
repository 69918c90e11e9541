/** The page: takes a recording or a mel, synthesizes it with each chosen model, and shows all clips side by side. */

import { Clip } from "./clip.js";
import { byId, element } from "./dom.js";
import { Gallery } from "./gallery.js";
import { readInput } from "./npy.js";
import * as local from "./local.js";
import { chosenModels, showModels } from "./models.js";
import * as server from "./server.js";
import { ask, Problem } from "./server.js";
import { problemBox, summary } from "./words.js";

const gallery = new Gallery(byId("clips"));
const examples = [...document.querySelectorAll("button.example")];
let taken = null; // the latest input file; `given` is its content once it is read
let given = null;
let running = null;
let made = 0;
let timer = null;

/** Request the models until all have loaded or failed, and show the server's before those of this browser. */
async function askModels() {
  let again = false;
  clearTimeout(timer);
  try {
    const own = await local.models();
    const answer = own.alone ? { models: [] } : await server.models();
    const found = [...answer.models, ...own.models];
    clearProblems(true);
    showModels(found);
    offerPresets(found, answer.mel_presets ?? []);
    again = found.some((model) => model.state === "loading");
  } catch (problem) {
    clearProblems(true);
    report(problem, "models");
    again = problem.status === 0 || problem.retryAfter !== null;
  }
  if (again) timer = setTimeout(askModels, 2000);
}

/** Offer the presets that any model accepts, and say which need an adapter. */
function offerPresets(found, names) {
  const accepted = new Map(found.flatMap((model) => model.accepts ?? []).map((entry) => [entry.preset, entry]));
  const known = names.filter((name) => !accepted.size || accepted.has(name));
  const option = ({ preset, aliases = [], how }) =>
    element("option", { value: preset }, [preset, ...aliases].join(", ") + (how === "adapter" ? " (through an adapter)" : ""));
  const { value, options: [own, auto] } = byId("preset");
  byId("preset").replaceChildren(own, auto, ...known.map((name) => option(accepted.get(name) ?? { preset: name })));
  byId("preset").value = value === "auto" || known.includes(value) ? value : "";
}

/** Load one of the page's examples; with `first`, only if there is no input yet. */
async function takeExample(name, first = false) {
  const answer = await ask(`page/${name}`).catch((problem) => report(problem, name));
  const example = answer && new File([await answer.blob()], name, { type: "audio/flac" });
  if (example && !(first && taken)) await take(example);
}

/** Replace the input and clear the clips. */
async function take(brought) {
  running?.abort();
  taken = brought;
  const input = await readInput(brought);
  if (taken !== brought) return;
  given = { ...input, mels: new Map() };
  const { kind, name, file, mel } = given;
  clearProblems();
  byId("status").textContent = "";
  byId("preset-row").hidden = kind === "recording";
  byId("chosen").textContent = name;
  gallery.remove(() => true);
  const source = kind === "recording" ? { file, name: "Original" } : { mel, name: "Mel" };
  const about = mel ? `${name} · ${mel.nMels} bands, ${mel.frames} frames` : name;
  given.clip = new Clip({ id: "given", about, sampleRate: chosenModels()[0]?.mel.sample_rate, ...source });
  await gallery.add(given.clip);
}

/** Run the chosen models one after the other, so that they do not slow each other down. */
async function synthesize() {
  const chosen = chosenModels();
  clearProblems();
  if (!given) return report(new Problem("No input", "Choose a recording or a mel first."), "");
  if (!chosen.length) return report(new Problem("No model", "Tick at least one model that is ready."), "");
  const [mine, source, settings] = [new AbortController(), given, readSettings()];
  busy(mine);
  let done = 0;
  try {
    if (!byId("keep").checked) gallery.remove((clip) => clip !== source.clip);
    const next = gallery.clips[0];
    for (const model of chosen) {
      byId("status").textContent = `Synthesizing with ${model.name} …`;
      try {
        await gallery.add(await synthesizeWith(model, source, settings, mine.signal), next);
        if (window.matchMedia("(max-width: 56rem)").matches) byId("results").scrollIntoView();
        done += 1;
      } catch (problem) {
        if (!(problem instanceof Problem) || [401, 403].includes(problem.status)) throw problem;
        report(problem, model.name);
      }
    }
    byId("status").textContent = `Done: ${done} of ${chosen.length} ${chosen.length === 1 ? "model" : "models"}.`;
  } catch (error) {
    byId("status").textContent = error.name === "AbortError" ? "Cancelled." : "Stopped.";
    if (error.name !== "AbortError") report(error, source.name);
  } finally {
    if (running === mine) busy(null);
  }
}

/** Synthesize with one model and return the clip. Models with the same mel config share a recording's mel. */
async function synthesizeWith(model, source, settings, signal) {
  const [backend, config] = [model.local ? local : server, JSON.stringify(model.mel)];
  if (source.kind === "recording" && !source.mels.has(config)) {
    source.mels.set(config, await backend.mel(source.file, model, signal));
  }
  const speech = await backend.synthesize(source.mels.get(config) ?? source.file, settings, model, signal);
  signal.throwIfAborted();
  if (speech.doubt) report(new Problem("Check this mel", speech.doubt), "", true);
  return clipOf(model, speech, settings, source.mels.get(config));
}

function clipOf(model, speech, settings, mel) {
  made += 1;
  const number = speech.seed ? `seed ${speech.seed}` : String(made);
  const stem = `${model.name} ${number.replace(" ", "")}`.replaceAll(/[^\w.-]+/g, "-");
  return new Clip({
    id: `clip-${made}`,
    name: byId("keep").checked ? `${model.name}, ${number}` : model.name,
    about: summary(speech),
    file: speech.sound,
    sampleRate: speech.sampleRate,
    facts: { ...settings, ...speech.facts },
    links: [["Download WAV", speech.sound, `${stem}.wav`], ...(mel ? [["Download mel", mel, `${stem}-mel.npy`]] : [])],
  });
}

function readSettings() {
  const fields = ["sigma", "seed", "denoise", "corrections", "sharpen"].map((name) => [name, byId(name).value]);
  return { ...Object.fromEntries(fields), preset: given.kind === "mel" ? byId("preset").value : "" };
}

function busy(controller) {
  running = controller;
  byId("speak").disabled = Boolean(running);
  byId("cancel").hidden = !running;
}

/** Show a problem, once; `doubtful` marks one about a mel that was synthesized anyway. */
function report(problem, subject, doubtful = false) {
  if (!(problem instanceof Problem)) throw problem;
  if (byId("problems").textContent.includes(problem.message)) return;
  const box = problemBox(problem, subject, remedy(problem.message), doubtful);
  byId("problems").append(box);
  box.scrollIntoView({ block: "nearest" });
  if (![401, 403].includes(problem.status)) return;
  byId("key-row").hidden = false;
  byId("key").focus();
}

/** A button that applies the preset that a message recommends, if it recommends one for a mel. */
function remedy(message) {
  const preset = /preset=([\w-]+)/.exec(message)?.[1];
  if (given?.kind !== "mel" || ![...byId("preset").options].some(({ value }) => value && value === preset)) return null;
  const button = element("button", { type: "button" }, preset === "auto" ? "Recognise automatically" : `Treat as ${preset}`);
  button.addEventListener("click", () => {
    byId("preset").value = preset;
    synthesize();
  });
  return button;
}

/** Remove old problems: with `ofModels`, those of the list of models, otherwise all others. */
function clearProblems(ofModels = false) {
  for (const box of [...byId("problems").children]) if ((box.dataset.subject === "models") === ofModels) box.remove();
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  synthesize();
});
for (const button of examples) button.addEventListener("click", () => takeExample(button.value));
byId("file").addEventListener("change", ({ target }) => target.files.length && take(target.files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault(); // anywhere on the page, because a file that misses the field would replace the page
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});
byId("cancel").addEventListener("click", () => running?.abort());
byId("key-use").addEventListener("click", askModels);
await askModels();
const [early] = byId("file").files; // chosen before this script ran, so that no event reported it
await (early && !taken ? take(early) : takeExample(examples[0].value, true));
