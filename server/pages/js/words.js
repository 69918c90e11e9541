/** Results in words. */

import { element } from "./dom.js";

/** The facts about one synthesis: [word, text, strong]. */
export function speechFacts({ realTimeFactor, stages, milliseconds, seed, clipped, recognised, adapted, guard }) {
  const times = 1 / realTimeFactor;
  const facts = [
    ["speed", realTimeFactor > 0 && `${times.toFixed(times < 10 ? 1 : 0)} × real time`, true],
    ["real-time factor", realTimeFactor > 0 && realTimeFactor.toPrecision(2)],
    ["inference", duration(stages.infer)],
    ["queue", duration(stages.queue)],
    ["whole request", duration(milliseconds)],
    ["seed", seed],
    ["clipped", clipped > 0 && `${clipped.toLocaleString("en")} samples beyond full scale`],
    ["recognised as", recognised],
    ["adapted from", adapted],
    ...guard.map(([name, value]) => [guardWord(name), value]),
  ];
  return facts.filter(([, text]) => text);
}

/** A problem for the page: what is wrong, and with what. */
export function problemBox({ title, message, status, requestId, retryAfter }, subject) {
  const about = [subject, status && `status ${status}`, requestId && `request ${requestId}`];
  const more = [...about, retryAfter && `try again in ${retryAfter} s`].filter(Boolean).join(" · ");
  const parts = [element("strong", {}, `${title}. `), message, element("small", {}, more)];
  return element("p", { className: "problem", "data-subject": subject }, ...parts);
}

/** The settings that were given, as a line. */
export function settingsLine({ sigma, denoise, corrections, preset }) {
  const given = { sigma, denoise, corrections, "mel made with": preset };
  return Object.entries(given).filter(([, value]) => value).map(([word, value]) => `${word} ${value}`).join(", ");
}

/** A number of bytes for people. */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.max(bytes / 1e3, 0.1).toFixed(bytes < 1e4 ? 1 : 0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function duration(value) {
  if (value === undefined) return null;
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}

/** X-Mel-Guard, X-Mel-Guard-Nearest: "mel guard", "mel guard: nearest". */
function guardWord(name) {
  const rest = name.toLowerCase().replace("x-mel-guard", "").replaceAll("-", " ").trim();
  return rest ? `mel guard: ${rest}` : "mel guard";
}
