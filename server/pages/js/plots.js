/** Waveforms, spectrograms and mels onto canvases, with their axes. */

import { diverging, heat, styleColour } from "./colours.js";

export const LEFT = 42; // room for the labels of the vertical axis, in CSS pixels
const BOTTOM = 18;

/** Draw the waveform of x; `seconds` is the width of the picture and `peak` half its height. */
export function drawWaveform(canvas, x, sampleRate, seconds, peak) {
  const { context, width, height } = open(canvas, 0);
  const samplesPerPixel = (seconds * sampleRate) / width;
  context.fillStyle = css("--line");
  context.fillRect(LEFT, height / 2, width, 1);
  context.fillStyle = css("--wave");
  for (let pixel = 0; pixel < width && pixel * samplesPerPixel < x.length; pixel++) {
    const [low, high] = extent(x, Math.floor(pixel * samplesPerPixel), Math.ceil((pixel + 1) * samplesPerPixel));
    const top = (height / 2) * (1 - high / peak);
    context.fillRect(LEFT + pixel, top, 1, Math.max((height / 2) * ((high - low) / peak), 1));
  }
  label(context, peak.toFixed(2), LEFT - 4, 8, "right");
}

/** Draw a spectrogram from `range` decibels below `loudest`. */
export function drawSpectrogram(canvas, spectrum, sampleRate, duration, seconds, loudest, range) {
  const colour = (level) => heat(1 + (level - loudest) / range);
  drawLevels(canvas, spectrum, colour, duration, seconds, sampleRate / 2000);
}

/** Draw the difference of two spectrograms, up to `range` decibels either way. */
export function drawDifference(canvas, spectrum, sampleRate, duration, seconds, range) {
  const middle = styleColour("--difference");
  drawLevels(canvas, spectrum, (level) => diverging(level / range, middle), duration, seconds, sampleRate / 2000);
}

/** Draw a mel { values (n_mels, frames), nMels, frames }, its smallest value dark and its largest bright. */
export function drawMel(canvas, mel) {
  let [low, high] = extent(mel.values, 0, mel.values.length);
  if (!(high > low)) high = low + 1;
  const levels = new Float32Array(mel.values.length);
  for (let band = 0; band < mel.nMels; band++) {
    for (let frame = 0; frame < mel.frames; frame++) {
      levels[frame * mel.nMels + band] = mel.values[band * mel.frames + frame];
    }
  }
  const { context, width, height } = open(canvas, BOTTOM);
  const image = picture({ levels, frames: mel.frames, bins: mel.nMels }, (value) => heat((value - low) / (high - low)));
  context.drawImage(image, LEFT, 0, width, height);
  label(context, String(mel.nMels), LEFT - 4, 10, "right");
  label(context, "0", LEFT - 4, height, "right");
  label(context, `${mel.frames} frames`, LEFT + width, height + 14, "right");
}

function drawLevels(canvas, spectrum, colour, duration, seconds, kilohertz) {
  const { context, width, height } = open(canvas, BOTTOM);
  context.drawImage(picture(spectrum, colour), LEFT, 0, (width * duration) / seconds, height);
  context.strokeStyle = css("--line");
  context.strokeRect(LEFT + 0.5, 0.5, width - 1, height - 1);
  const marks = ticks(kilohertz, height / 34);
  for (const tick of marks) {
    const text = tick === marks.at(-1) ? `${tick} kHz` : String(tick);
    label(context, text, LEFT - 4, Math.min(Math.max(height * (1 - tick / kilohertz) + 4, 10), height), "right");
  }
  for (const tick of ticks(seconds, width / 60)) {
    const last = tick > 0.94 * seconds;
    label(context, tick === 0 ? "0 s" : String(tick), LEFT + (width * tick) / seconds, height + 14, last ? "right" : "center");
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
  const canvas = document.createElement("canvas");
  canvas.width = frames;
  canvas.height = bins;
  const context = canvas.getContext("2d");
  const image = context.createImageData(frames, bins);
  for (let frame = 0; frame < frames; frame++) {
    for (let bin = 0; bin < bins; bin++) {
      const [red, green, blue] = colour(levels[frame * bins + bin]);
      const place = 4 * ((bins - 1 - bin) * frames + frame);
      image.data[place] = red;
      image.data[place + 1] = green;
      image.data[place + 2] = blue;
      image.data[place + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Round numbers from 0 to `end`, about `count` of them. */
export function ticks(end, count) {
  const rough = end / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

function extent(x, start, end) {
  let low = Infinity;
  let high = -Infinity;
  for (let index = start; index < Math.min(end, x.length); index++) {
    if (x[index] < low) low = x[index];
    if (x[index] > high) high = x[index];
  }
  return low <= high ? [low, high] : [0, 0];
}

function label(context, text, x, y, align) {
  context.fillStyle = css("--quiet");
  context.textAlign = align;
  context.fillText(text, x, y);
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}
