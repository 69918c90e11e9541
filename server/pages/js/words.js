/** Texts and boxes about results. */

import { element } from "./dom.js";

/** Summarize a synthesis in a line. */
export function summary({ realTimeFactor, clipped, recognised, adapted }) {
  const parts = [
    realTimeFactor > 0 && `${Number((1 / realTimeFactor).toPrecision(3))} × real time`,
    recognised && `recognised as ${recognised}`,
    adapted && `through the ${adapted} adapter`,
    clipped > 0 && `${clipped.toLocaleString("en")} samples clipped`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** A box that shows a problem, or a doubt, and its subject. */
export function problemBox({ title, message, status, requestId, retryAfter }, subject, remedy, doubtful) {
  const about = [subject, status && `status ${status}`, requestId && `request ${requestId}`];
  const more = [...about, retryAfter && `try again in ${retryAfter} s`].filter(Boolean).join(" · ");
  const parts = [element("strong", {}, `${title}. `), message, remedy ?? "", element("small", {}, more)];
  return element("div", { className: doubtful ? "problem doubt" : "problem", "data-subject": subject }, ...parts);
}

/** A collapsed list of facts { word: value }. Empty values are left out. */
export function folded(title, facts) {
  const given = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const list = given.flatMap(([word, value]) => [element("dt", {}, word), element("dd", {}, plain(value))]);
  return element("details", {}, element("summary", {}, title), element("dl", { className: "facts" }, ...list));
}

function plain(value) {
  if (!Array.isArray(value)) return typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
  return value.length > 4 ? `${value.length} values` : value.map(plain).join(" to ");
}
