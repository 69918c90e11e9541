/** The list of models with checkboxes. */

import { byId, element } from "./dom.js";
import { folded } from "./words.js";

let shown = [];

/** Show the models. Ticked ones stay ticked; initially the first one is. */
export function showModels(models) {
  const first = models[0]?.name;
  const ticked = new Set(shown.length ? chosenModels().map((model) => model.name) : [first]);
  if (shown.some((model) => model.name === first && model.state !== "ready")) ticked.add(first);
  shown = models;
  const place = byId("models");
  place.querySelectorAll(".model").forEach((row) => row.remove());
  place.append(...models.map((model, index) => modelRow(model, index, ticked.has(model.name))));
  byId("models-wait").hidden = models.length > 0;
  place.setAttribute("aria-busy", String(models.some((model) => model.state === "loading")));
}

/** Return the models that are ticked and ready, in order. */
export function chosenModels() {
  return [...byId("models").querySelectorAll("input:checked:enabled")].map((box) => shown[Number(box.value)]);
}

function modelRow(model, index, ticked) {
  const { name, state, family, parameters, sigma, corrections, mel } = model;
  const ready = state === "ready";
  const id = `model-${index}`;
  const box = element("input", { type: "checkbox", id, value: String(index), disabled: !ready, checked: ready && ticked });
  const row = element("div", { className: "model" }, box, element("label", { htmlFor: id }, name));
  if (!ready) row.append(element("p", { className: "hint" }, state === "failed" ? "failed to load" : `${state} …`));
  else row.append(folded("Details", { family, parameters, sigma, corrections, "mel config": mel.name, ...mel, name: null }));
  return row;
}
