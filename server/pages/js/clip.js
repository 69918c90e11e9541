/** One clip: its sound, its pictures, what is known about it, and the card that shows all this. */

import { element } from "./dom.js";
import { difference, largest, spectrogram } from "./fft.js";
import { drawDifference, drawMel, drawSpectrogram, drawWaveform, LEFT } from "./plots.js";
import { decode, pictureHop } from "./sound.js";

const N_FFT = 1024;
export const RANGE = 80; // decibels shown below the loudest
const DIFFERENCE_RANGE = 6;
const PATCH_BINS = 7;

export class Clip {
  /**
   * `facts` are [word, text, strong] and `links` [text, blob, file name]; `file` is the sound, null for a mel, which is
   * given as `mel` where it could be read.
   */
  constructor({ id, name, about = "", file = null, mel = null, sampleRate = 22050, facts = [], links = [] }) {
    Object.assign(this, { id, name, file, mel, sampleRate, duration: 0, peak: 0, loudest: -Infinity, spectrum: null });
    this.addresses = [];
    this.samples = new Map();
    this.playhead = element("div", { className: "playhead", hidden: true });
    this.plots = element("div", { className: file ? "plots" : "plots still" });
    this.note = element("p", { className: "about" });
    this.facts = element("dl", { className: "facts" });
    for (const fact of facts) this.addFact(...fact);
    const title = element("h3", { id: `${id}-title` }, name);
    this.element = element("article", { className: "clip", id, "aria-labelledby": title.id, "aria-busy": "true" }, title);
    if (about) this.element.append(element("p", { className: "about" }, about));
    if (file) this.element.append(this.#player());
    this.element.append(this.plots, this.note, this.facts, this.#links(links));
  }

  /** Read the sound and make the canvases; draw() fills them. */
  async open() {
    if (this.file) {
      try {
        this.x = await this.samplesAt(this.sampleRate);
      } catch {
        this.note.textContent = "This browser cannot read this file, so there is no picture of it.";
        return;
      }
      this.duration = this.x.length / this.sampleRate;
      this.peak = largest(this.x.map(Math.abs));
      this.spectrum = spectrogram(this.x, N_FFT, pictureHop(this.x));
      this.loudest = largest(this.spectrum.levels);
      this.addFact("length", `${this.duration.toFixed(2)} s at ${this.sampleRate.toLocaleString("en")} Hz`);
      const length = `${this.duration.toFixed(2)} seconds`;
      this.wave = this.#canvas("wave", `Waveform of ${this.name}, ${length}`);
      this.heat = this.#canvas("spectrum", `Spectrogram of ${this.name}, 0 to ${this.sampleRate / 2000} kHz, ${length}`);
      this.plots.append(this.playhead);
    } else if (this.mel) {
      const { nMels, frames } = this.mel;
      this.heat = this.#canvas("mel", `Picture of the mel: ${nMels} bands, ${frames} frames`);
    }
  }

  /** The samples at any rate; decoded once for each. */
  samplesAt(sampleRate) {
    if (!this.samples.has(sampleRate)) this.samples.set(sampleRate, decode(this.file, sampleRate));
    return this.samples.get(sampleRate);
  }

  /** Show how this clip differs from another one, or nothing where `other` is null. */
  async compare(other, floor) {
    this.contrast = null;
    if (other?.x && this.x && other !== this) {
      const x = await other.samplesAt(this.sampleRate);
      const hop = pictureHop(this.x);
      const patch = { frames: 2 * Math.round(N_FFT / hop / 2) + 1, bins: PATCH_BINS }; // as long as one spectrum
      this.contrast = difference(this.spectrum, spectrogram(x, N_FFT, hop), floor, patch);
      const mean = this.contrast.mean.toFixed(1);
      this.contrastCanvas ??= this.#canvas("spectrum", "");
      this.contrastCaption ??= this.plots.insertBefore(element("p", { className: "about" }), this.playhead);
      this.contrastCaption.replaceChildren(
        `Beside ${other.name}: `, element("span", { className: "more" }), "more, ",
        element("span", { className: "less" }), `less; ${mean} dB on average`,
      );
      const label = `Difference of the spectrograms of ${this.name} and ${other.name}: ${mean} dB on average`;
      this.contrastCanvas.setAttribute("aria-label", label);
      this.plots.insertBefore(this.contrastCaption, this.contrastCanvas);
    }
    for (const part of [this.contrastCanvas, this.contrastCaption]) if (part) part.hidden = !this.contrast;
  }

  /** Draw everything on scales that all clips share: { seconds, peak, loudest }. */
  draw({ seconds, peak, loudest }) {
    this.seconds = seconds;
    this.element.setAttribute("aria-busy", "false");
    if (this.mel) drawMel(this.heat, this.mel);
    if (!this.x) return;
    drawWaveform(this.wave, this.x, this.sampleRate, seconds, peak);
    drawSpectrogram(this.heat, this.spectrum, this.sampleRate, this.duration, seconds, loudest, RANGE);
    if (!this.contrast) return;
    drawDifference(this.contrastCanvas, this.contrast, this.sampleRate, this.duration, seconds, DIFFERENCE_RANGE);
  }

  /** Move the line that shows where the sound is. */
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

  /** Let go of the sound. */
  close() {
    this.audio?.pause();
    this.element.remove();
    for (const address of this.addresses) URL.revokeObjectURL(address);
  }

  #address(blob) {
    const address = URL.createObjectURL(blob);
    this.addresses.push(address);
    return address;
  }

  #player() {
    const label = `Player for ${this.name}`;
    this.audio = element("audio", { controls: true, preload: "auto", src: this.#address(this.file), "aria-label": label });
    this.audio.addEventListener("error", () => {
      this.element.insertBefore(element("p", { className: "about" }, "This browser cannot play this file."), this.plots);
    });
    return this.audio;
  }

  #links(links) {
    const made = links.map(([text, blob, name]) => element("a", { href: this.#address(blob), download: name }, text));
    return element("p", { className: "links" }, ...made);
  }

  #canvas(className, label) {
    const canvas = element("canvas", { className, role: "img", "aria-label": label });
    this.plots.insertBefore(canvas, this.playhead.parentNode === this.plots ? this.playhead : null);
    return canvas;
  }
}
