/** Plots of audio with one pixel per value. The style sheet sets their size and common scales. */

// Evenly spaced colours from black over purple and orange to pale yellow, with evenly rising lightness.
const HEAT = [
  [0, 0, 4], [20, 14, 54], [59, 15, 112], [100, 26, 128], [140, 41, 129], [183, 55, 121],
  [222, 73, 104], [247, 112, 92], [254, 159, 109], [254, 207, 146], [252, 253, 191],
];
const WAVE = "#6f86c9"; // works on light and dark backgrounds
const [WIDTH, HEIGHT] = [1200, 400];

/** Return a colour map for values from `low` (dark, like NaN) to `high` (bright). */
export function heat(low, high) {
  return (value) => {
    const t = (value - low) / (high - low || 1);
    const place = t > 0 ? Math.min(t, 1) * (HEAT.length - 1) : 0;
    const index = Math.min(Math.floor(place), HEAT.length - 2);
    return [...HEAT[index].map((part, k) => part + (HEAT[index + 1][k] - part) * (place - index)), 255];
  };
}

/** Draw { levels (frames * bins, frame after frame), frames, bins } with low bins at the bottom. */
export function drawLevels(canvas, { levels, frames, bins }, colour) {
  Object.assign(canvas, { width: frames, height: bins });
  const image = new ImageData(frames, bins);
  levels.forEach((level, index) => {
    const place = (bins - 1 - (index % bins)) * frames + Math.floor(index / bins);
    image.data.set(colour(level), 4 * place);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Draw a mel { values (n_mels, frames), nMels, frames } with its smallest finite value dark and its largest bright. */
export function drawMel(canvas, { values, nMels, frames }) {
  const levels = values.map((_, index) => values[(index % nMels) * frames + Math.floor(index / nMels)]);
  drawLevels(canvas, { levels, frames, bins: nMels }, heat(...extent(values.filter(Number.isFinite))));
}

/** Draw the waveform of x, from -1 to 1. */
export function drawWaveform(canvas, x) {
  Object.assign(canvas, { width: WIDTH, height: HEIGHT });
  const context = canvas.getContext("2d");
  context.fillStyle = WAVE;
  for (let pixel = 0; pixel < WIDTH; pixel++) {
    const [start, end] = [pixel, pixel + 1].map((place) => Math.floor((place * x.length) / WIDTH));
    const [low, high] = extent(x.subarray(start, Math.max(end, start + 1)));
    context.fillRect(pixel, (HEIGHT / 2) * (1 - high), 1, Math.max((HEIGHT / 2) * (high - low), 1));
  }
}

function extent(x) {
  return x.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}
