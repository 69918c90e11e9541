/** The list of models to choose from, and what each expects of a mel. */

import { element } from "./dom.js";

const HERTZ = new Set(["sample_rate", "f_min", "f_max"]);
const SAMPLES = new Set(["n_fft", "win_length", "hop_length"]);

export class Models {
  constructor(place) {
    this.place = place;
    this.models = [];
    this.wait = place.querySelector(".hint");
  }

  /** Show the models of the server's answer; what was ticked stays ticked, and at first the first one is. */
  show(models) {
    const ticked = new Set(this.models.length ? this.chosen().map((model) => model.name) : [models[0]?.name]);
    const unready = new Set(this.models.filter((model) => model.state !== "ready").map((model) => model.name));
    const first = models[0]?.name;
    this.models = models;
    this.place.querySelectorAll(".model").forEach((row) => row.remove());
    models.forEach((model, index) => {
      const tick = ticked.has(model.name) || (unready.has(model.name) && model.name === first);
      this.place.append(modelRow(model, index, tick));
    });
    this.wait.hidden = models.length > 0;
    this.place.setAttribute("aria-busy", String(models.some((model) => model.state === "loading")));
  }

  /** The models that are ticked and ready, in the server's order. */
  chosen() {
    const boxes = [...this.place.querySelectorAll("input:checked:enabled")];
    return boxes.map((box) => this.models[Number(box.value)]);
  }

  /** The contract of the first model that has one; null before any is ready. */
  firstContract() {
    return (this.chosen()[0] ?? this.models.find((model) => model.mel))?.mel ?? null;
  }
}

function modelRow(model, index, ticked) {
  const ready = model.state === "ready";
  const id = `model-${index}`;
  const box = element("input", { type: "checkbox", id, value: String(index), disabled: !ready, checked: ready && ticked });
  const row = element("div", { className: "model" }, box, element("label", { htmlFor: id }, model.name));
  row.append(element("p", { className: "hint" }, ready ? describe(model) : `${model.state} …`.replace("failed …", "failed to load")));
  if (ready) row.append(contract(model));
  return row;
}

function describe(model) {
  const parts = [model.family];
  if (model.parameters) parts.push(`${count(model.parameters)} parameters`);
  parts.push(`${model.mel.sample_rate.toLocaleString("en")} Hz`);
  if (model.sigma !== undefined) parts.push(`sigma ${model.sigma}`);
  if (model.corrections !== undefined) parts.push(`corrections ${model.corrections}`);
  return parts.join(", ");
}

function contract(model) {
  const rows = Object.entries(model.mel).filter(([, value]) => value !== null);
  const body = rows.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, show(name, value))),
  );
  return element("details", {}, element("summary", {}, `Mel contract: ${model.mel.name}`), element("table", {}, ...body));
}

function show(name, value) {
  if (Array.isArray(value)) return value.length > 4 ? `${value.length} values` : value.map((part) => show("", part)).join(" to ");
  if (typeof value !== "number") return String(value);
  const text = Number(value.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 6 });
  return HERTZ.has(name) ? `${text} Hz` : SAMPLES.has(name) ? `${text} samples` : text;
}

function count(parameters) {
  if (parameters >= 1e6) return `${(parameters / 1e6).toFixed(1)} million`;
  return parameters.toLocaleString("en");
}
