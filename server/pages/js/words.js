/** What came back, in words. */

import { element } from "./dom.js";

/** The facts about one synthesis: [word, text, strong]. */
export function speechFacts(speech) {
  const facts = [];
  if (speech.realTimeFactor > 0) {
    const times = 1 / speech.realTimeFactor;
    facts.push(["speed", `${times.toFixed(times < 10 ? 1 : 0)} × real time`, true]);
    facts.push(["real-time factor", speech.realTimeFactor.toPrecision(2)]);
  }
  const { infer, queue } = speech.stages;
  if (infer !== undefined) facts.push(["inference", milliseconds(infer)]);
  if (queue !== undefined) facts.push(["queue", milliseconds(queue)]);
  facts.push(["whole request", milliseconds(speech.milliseconds)]);
  facts.push(["seed", speech.seed]);
  if (speech.clipped > 0) facts.push(["clipped", `${speech.clipped.toLocaleString("en")} samples beyond full scale`]);
  if (speech.recognised) facts.push(["recognised as", speech.recognised]);
  if (speech.adapted) facts.push(["adapted from", speech.adapted]);
  for (const [name, value] of speech.guard) facts.push([guardWord(name), value]);
  return facts;
}

/** A problem for the page: what is wrong, and with what. */
export function problemBox(problem, subject) {
  const about = [subject];
  if (problem.status) about.push(`status ${problem.status}`);
  if (problem.requestId) about.push(`request ${problem.requestId}`);
  if (problem.retryAfter) about.push(`try again in ${problem.retryAfter} s`);
  const title = element("strong", {}, `${problem.title}. `);
  const more = element("small", {}, about.filter(Boolean).join(" · "));
  return element("p", { className: "problem", "data-subject": subject }, title, problem.message, more);
}

/** The settings that are not the server's own, as a line. */
export function settingsLine({ sigma, denoise, corrections, preset }) {
  const given = { sigma, denoise, corrections, "mel made with": preset };
  return Object.entries(given).filter(([, value]) => value).map(([word, value]) => `${word} ${value}`).join(", ");
}

/** Bytes for people. */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.max(bytes / 1e3, 0.1).toFixed(bytes < 1e4 ? 1 : 0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function milliseconds(value) {
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}

/** X-Mel-Guard, X-Mel-Guard-Nearest: "mel guard", "mel guard: nearest". */
function guardWord(name) {
  const rest = name.toLowerCase().replace("x-mel-guard", "").replaceAll("-", " ").trim();
  return rest ? `mel guard: ${rest}` : "mel guard";
}
