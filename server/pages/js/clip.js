/** One clip: its sound, its pictures, facts about it, and the card that shows all this. */

import { decode, element } from "./dom.js";
import { difference, spectrogram } from "./fft.js";
import { contrast, drawLevels, drawMel, drawWaveform, LEFT, loudness } from "./plots.js";

const N_FFT = 1024;
const DIFFERENCE_RANGE = 6; // decibels
const PATCH_BINS = 7;
export const RANGE = 80; // decibels shown below the loudest

/** The step between the columns of a picture of x: fine, but not so fine that a long clip takes long to draw. */
const pictureHop = (x) => Math.max(64, Math.ceil(x.length / 1200));

export class Clip {
  /** `facts` are [word, text, strong], `links` [text, blob, file name]; a clip has a sound `file`, or only a `mel`. */
  constructor({ id, name, about = "", file = null, mel = null, sampleRate = 22050, facts = [], links = [] }) {
    Object.assign(this, { id, name, file, mel, sampleRate, duration: 0, peak: 0, loudest: -Infinity });
    this.addresses = [];
    this.playhead = element("div", { className: "playhead", hidden: true });
    this.plots = element("div", { className: file ? "plots" : "plots still" });
    this.note = element("p", { className: "about" });
    this.facts = element("dl", { className: "facts" });
    for (const fact of facts) this.addFact(...fact);
    const title = element("h3", { id: `${id}-title` }, name);
    this.element = element("article", { className: "clip", id, "aria-labelledby": title.id, "aria-busy": "true" }, title);
    if (about) this.element.append(element("p", { className: "about" }, about));
    if (file) this.element.append(this.#player());
    const made = links.map(([text, blob, download]) => element("a", { href: this.#address(blob), download }, text));
    this.element.append(this.plots, this.note, this.facts, element("p", { className: "links" }, ...made));
  }

  /** Read the sound and make the canvases; draw() fills them. */
  async open() {
    if (this.mel) {
      const { nMels, frames } = this.mel;
      this.heat = this.#canvas("mel", `Picture of the mel: ${nMels} bands, ${frames} frames`);
    }
    if (!this.file) return;
    try {
      this.x = await decode(this.file, this.sampleRate);
    } catch {
      this.note.textContent = "This browser cannot read this file, so there is no picture of it.";
      return;
    }
    this.duration = this.x.length / this.sampleRate;
    this.peak = this.x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.spectrum = spectrogram(this.x, N_FFT, pictureHop(this.x));
    this.loudest = this.spectrum.levels.reduce((most, value) => Math.max(most, value), -Infinity);
    this.addFact("length", `${this.duration.toFixed(2)} s at ${this.sampleRate.toLocaleString("en")} Hz`);
    const length = `${this.duration.toFixed(2)} seconds`;
    this.wave = this.#canvas("wave", `Waveform of ${this.name}, ${length}`);
    this.heat = this.#canvas("spectrum", `Spectrogram of ${this.name}, 0 to ${this.sampleRate / 2000} kHz, ${length}`);
    this.plots.append(this.playhead);
  }

  /** Show how this clip differs from another one, or nothing where `other` is null. */
  async compare(other, floor) {
    this.contrast = null;
    if (other?.x && this.x && other !== this) {
      const x = other.sampleRate === this.sampleRate ? other.x : await decode(other.file, this.sampleRate);
      const hop = pictureHop(this.x);
      const patch = { frames: 2 * Math.round(N_FFT / hop / 2) + 1, bins: PATCH_BINS }; // as long as one spectrum
      this.contrast = difference(this.spectrum, spectrogram(x, N_FFT, hop), floor, patch);
      const mean = `${this.contrast.mean.toFixed(1)} dB on average`;
      this.caption ??= this.plots.insertBefore(element("p", { className: "about" }), this.playhead);
      this.canvas ??= this.#canvas("spectrum", "");
      const [more, less] = ["more", "less"].map((className) => element("span", { className }));
      this.caption.replaceChildren(`Beside ${other.name}: `, more, "more, ", less, `less; ${mean}`);
      this.canvas.setAttribute("aria-label", `Difference of the spectrograms of ${this.name} and ${other.name}: ${mean}`);
    }
    for (const part of [this.canvas, this.caption]) if (part) part.hidden = !this.contrast;
  }

  /** Draw everything on scales that all clips share. */
  draw({ seconds, peak, loudest }) {
    const { sampleRate, duration } = this;
    this.seconds = seconds;
    this.element.setAttribute("aria-busy", "false");
    if (this.mel) drawMel(this.heat, this.mel);
    if (!this.x) return;
    drawWaveform(this.wave, this.x, sampleRate, seconds, peak);
    drawLevels(this.heat, this.spectrum, loudness(loudest, RANGE), sampleRate, duration, seconds);
    if (this.contrast) drawLevels(this.canvas, this.contrast, contrast(DIFFERENCE_RANGE), sampleRate, duration, seconds);
  }

  /** Move the line that shows the position of the sound. */
  pointAt(time) {
    const part = Math.min(time / this.seconds, 1);
    this.playhead.hidden = !(part >= 0);
    this.playhead.style.left = `calc(${LEFT}px + ${part} * (100% - ${LEFT}px))`;
  }

  /** The time under a point of the pictures, in seconds. */
  timeAt(clientX) {
    const box = this.plots.getBoundingClientRect();
    const part = (clientX - box.left - LEFT) / (box.width - LEFT);
    return Math.min(Math.max(part, 0) * this.seconds, this.duration);
  }

  addFact(word, text, strong = false) {
    this.facts.append(element("dt", {}, word), element("dd", { className: strong ? "strong" : "" }, text));
  }

  /** Release the sound. */
  close() {
    this.audio?.pause();
    this.element.remove();
    this.addresses.forEach((address) => URL.revokeObjectURL(address));
  }

  #address(blob) {
    this.addresses.push(URL.createObjectURL(blob));
    return this.addresses.at(-1);
  }

  #player() {
    const label = `Player for ${this.name}`;
    this.audio = element("audio", { controls: true, preload: "auto", src: this.#address(this.file), "aria-label": label });
    this.audio.addEventListener("error", () => {
      this.element.insertBefore(element("p", { className: "about" }, "This browser cannot play this file."), this.plots);
    });
    return this.audio;
  }

  #canvas(className, label) {
    const canvas = element("canvas", { className, role: "img", "aria-label": label });
    this.plots.insertBefore(canvas, this.playhead.parentNode === this.plots ? this.playhead : null);
    return canvas;
  }
}
