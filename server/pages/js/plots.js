/** Waveforms, spectrograms and mels onto canvases, with their axes. */

export const LEFT = 42; // room for the labels of the vertical axis, in CSS pixels
const BOTTOM = 18;

// Even steps of a map from black over purple and orange to pale yellow, whose lightness rises evenly.
const HEAT = [
  [0, 0, 4], [20, 14, 54], [59, 15, 112], [100, 26, 128], [140, 41, 129], [183, 55, 121],
  [222, 73, 104], [247, 112, 92], [254, 159, 109], [254, 207, 146], [252, 253, 191],
];
const LESS = [33, 102, 172];
const MORE = [214, 80, 30];

/** Draw the waveform of x; `seconds` is the width of the picture and `peak` half its height. */
export function drawWaveform(canvas, x, sampleRate, seconds, peak) {
  const { context, width, height } = open(canvas, 0);
  const samplesPerPixel = (seconds * sampleRate) / width;
  context.fillStyle = css("--line");
  context.fillRect(LEFT, height / 2, width, 1);
  context.fillStyle = css("--wave");
  for (let pixel = 0; pixel < width && pixel * samplesPerPixel < x.length; pixel++) {
    const [low, high] = extent(x.subarray(Math.floor(pixel * samplesPerPixel), Math.ceil((pixel + 1) * samplesPerPixel)));
    const top = (height / 2) * (1 - high / peak);
    context.fillRect(LEFT + pixel, top, 1, Math.max((height / 2) * ((high - low) / peak), 1));
  }
  label(context, peak.toFixed(2), LEFT - 4, 8, "right");
}

/** A colour for levels from `range` decibels below `loudest`. */
export function loudness(loudest, range) {
  return (level) => heat(1 + (level - loudest) / range);
}

/** A colour for differences of up to `range` decibels either way. */
export function contrast(range) {
  const text = css("--difference").trim(); // #rrggbb
  const middle = [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
  return (level) => mix(middle, level < 0 ? LESS : MORE, Math.min(Math.abs(level / range), 1));
}

/** Draw a mel { values (n_mels, frames), nMels, frames }, its smallest value dark and its largest bright. */
export function drawMel(canvas, { values, nMels, frames }) {
  const [low, high] = extent(values);
  const levels = values.map((_, index) => values[(index % nMels) * frames + Math.floor(index / nMels)]);
  const { context, width, height } = open(canvas, BOTTOM);
  const image = picture({ levels, frames, bins: nMels }, (value) => heat((value - low) / (high - low || 1)));
  context.drawImage(image, LEFT, 0, width, height);
  label(context, String(nMels), LEFT - 4, 10, "right");
  label(context, "0", LEFT - 4, height, "right");
  label(context, `${frames} frames`, LEFT + width, height + 14, "right");
}

/** Draw levels of `duration` seconds in a picture of `seconds`. */
export function drawLevels(canvas, spectrum, colour, sampleRate, duration, seconds) {
  const { context, width, height } = open(canvas, BOTTOM);
  const kilohertz = sampleRate / 2000;
  context.drawImage(picture(spectrum, colour), LEFT, 0, (width * duration) / seconds, height);
  context.strokeStyle = css("--line");
  context.strokeRect(LEFT + 0.5, 0.5, width - 1, height - 1);
  const marks = ticks(kilohertz, height / 34);
  for (const tick of marks) {
    const text = tick === marks.at(-1) ? `${tick} kHz` : String(tick);
    label(context, text, LEFT - 4, Math.min(Math.max(height * (1 - tick / kilohertz) + 4, 10), height), "right");
  }
  for (const tick of ticks(seconds, width / 60)) {
    const align = tick > 0.94 * seconds ? "right" : "center";
    label(context, tick === 0 ? "0 s" : String(tick), LEFT + (width * tick) / seconds, height + 14, align);
  }
}

/** Size a canvas for the screen's pixels and clear it; return the plot's size in CSS pixels. */
function open(canvas, bottom) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(Math.round(canvas.clientWidth * ratio), 1);
  canvas.height = Math.max(Math.round(canvas.clientHeight * ratio), 1);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "11px system-ui, sans-serif";
  return { context, width: Math.max(canvas.clientWidth - LEFT, 1), height: Math.max(canvas.clientHeight - bottom, 1) };
}

/** A canvas with one pixel for each frame and bin, low frequencies at the bottom. */
function picture({ levels, frames, bins }, colour) {
  const canvas = Object.assign(document.createElement("canvas"), { width: frames, height: bins });
  const context = canvas.getContext("2d");
  const image = context.createImageData(frames, bins);
  levels.forEach((level, index) => {
    const place = (bins - 1 - (index % bins)) * frames + Math.floor(index / bins);
    image.data.set([...colour(level), 255], 4 * place);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Round numbers from 0 to `end`, about `count` of them. */
function ticks(end, count) {
  const rough = end / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

function heat(t) {
  const place = Math.min(Math.max(t, 0), 1) * (HEAT.length - 1);
  const index = Math.min(Math.floor(place), HEAT.length - 2);
  return mix(HEAT[index], HEAT[index + 1], place - index);
}

function mix(a, b, t) {
  return a.map((value, index) => value + (b[index] - value) * t);
}

function extent(x) {
  return x.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function label(context, text, x, y, align) {
  context.fillStyle = css("--quiet");
  context.textAlign = align;
  context.fillText(text, x, y);
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}
