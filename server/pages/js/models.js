/** The list of models to choose from, and the mel config of each. */

import { element } from "./dom.js";

const UNITS = { sample_rate: "Hz", f_min: "Hz", f_max: "Hz", n_fft: "samples", win_length: "samples", hop_length: "samples" };

export class Models {
  constructor(place) {
    Object.assign(this, { place, models: [], wait: place.querySelector(".hint") });
  }

  /** Show the models. Ticked ones stay ticked, and the first one is ticked at first. */
  show(models) {
    const first = models[0]?.name;
    const ticked = new Set(this.models.length ? this.chosen().map((model) => model.name) : [first]);
    const waited = this.models.some((model) => model.name === first && model.state !== "ready");
    if (waited) ticked.add(first);
    this.models = models;
    this.place.querySelectorAll(".model").forEach((row) => row.remove());
    this.place.append(...models.map((model, index) => modelRow(model, index, ticked.has(model.name))));
    this.wait.hidden = models.length > 0;
    this.place.setAttribute("aria-busy", String(models.some((model) => model.state === "loading")));
  }

  /** The models that are ticked and ready, in order. */
  chosen() {
    return [...this.place.querySelectorAll("input:checked:enabled")].map((box) => this.models[Number(box.value)]);
  }

  /** The mel config of the first model that has one; null before any is ready. */
  firstConfig() {
    return (this.chosen()[0] ?? this.models.find((model) => model.mel))?.mel ?? null;
  }
}

function modelRow(model, index, ticked) {
  const ready = model.state === "ready";
  const id = `model-${index}`;
  const box = element("input", { type: "checkbox", id, value: String(index), disabled: !ready, checked: ready && ticked });
  const row = element("div", { className: "model" }, box, element("label", { htmlFor: id }, model.name));
  const state = model.state === "failed" ? "failed to load" : `${model.state} …`;
  row.append(element("p", { className: "hint" }, ready ? describe(model) : state));
  if (ready) row.append(melTable(model.mel));
  return row;
}

function describe({ family, parameters, mel, sigma, corrections }) {
  const parts = [family];
  if (parameters) parts.push(`${parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} million` : parameters} parameters`);
  parts.push(`${mel.sample_rate.toLocaleString("en")} Hz`);
  if (sigma !== undefined) parts.push(`sigma ${sigma}`);
  if (corrections !== undefined) parts.push(`corrections ${corrections}`);
  return parts.join(", ");
}

function melTable(mel) {
  const rows = Object.entries(mel).filter(([, value]) => value !== null).map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, show(name, value))),
  );
  return element("details", {}, element("summary", {}, `Mel config: ${mel.name}`), element("table", {}, ...rows));
}

function show(name, value) {
  if (Array.isArray(value)) return value.length > 4 ? `${value.length} values` : value.map((part) => show("", part)).join(" to ");
  if (typeof value !== "number") return String(value);
  return `${Number(value.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 6 })} ${UNITS[name] ?? ""}`.trim();
}
