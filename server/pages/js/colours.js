/** Colours for levels: dark to bright for spectrograms, blue over the background to red for differences. */

// Even steps of a map from black over purple and orange to pale yellow, whose lightness rises evenly.
const HEAT = [
  [0, 0, 4], [20, 14, 54], [59, 15, 112], [100, 26, 128], [140, 41, 129], [183, 55, 121],
  [222, 73, 104], [247, 112, 92], [254, 159, 109], [254, 207, 146], [252, 253, 191],
];
const LESS = [33, 102, 172];
const MORE = [214, 80, 30];

/** The colour of t in 0..1. */
export function heat(t) {
  const place = Math.min(Math.max(t, 0), 1) * (HEAT.length - 1);
  const index = Math.min(Math.floor(place), HEAT.length - 2);
  return mix(HEAT[index], HEAT[index + 1], place - index);
}

/** The colour of t in -1..1 around `middle`, itself a colour. */
export function diverging(t, middle) {
  return mix(middle, t < 0 ? LESS : MORE, Math.min(Math.abs(t), 1));
}

/** Read a colour of the style sheet, #rrggbb, as three numbers. */
export function styleColour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
}

function mix(a, b, t) {
  return a.map((value, index) => value + (b[index] - value) * t);
}
