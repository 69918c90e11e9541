/** One clip: its sound, its pictures, and the card that shows both. */

import { decode, element } from "./dom.js";
import { difference, spectrogram } from "./fft.js";
import { contrast, drawLevels, drawMel, drawWaveform, heat } from "./plots.js";
import { folded } from "./words.js";

const N_FFT = 1024;
const QUIETEST = -95; // decibels shown
const LOUDEST = -15;
const DIFFERENCE = 6; // decibels
const PATCH_BINS = 7;

/** The step between the columns of a picture of x: fine, but not so fine that a long clip takes long to draw. */
const pictureHop = (x) => Math.max(64, Math.ceil(x.length / 1200));

export class Clip {
  /** A clip has a sound `file`, or only a `mel`. `facts` are folded, `links` are [text, blob, file name]. */
  constructor({ id, name, about = "", file = null, mel = null, sampleRate = 22050, facts = null, links = [] }) {
    Object.assign(this, { id, name, file, mel, sampleRate, duration: 0, peak: 0, addresses: [] });
    this.plots = element("div", { className: file ? "plots audible" : "plots" });
    this.about = element("p", { className: "about" }, about);
    const title = element("h3", { id: `${id}-title` }, name);
    const head = element("div", { className: "head" }, title, this.about);
    const made = links.map(([text, blob, download]) => element("a", { href: this.#address(blob), download }, text));
    const parts = [head, this.plots, element("p", { className: "links" }, ...made), facts ? folded("Details", facts) : ""];
    if (file) this.#addPlayer(head);
    this.element = element("article", { className: "clip", id, "aria-labelledby": title.id, "aria-busy": "true" }, ...parts);
  }

  /** Read the sound and draw the pictures. */
  async open() {
    if (this.mel) {
      const { nMels, frames } = this.mel;
      drawMel(this.#picture("mel", `Picture of the mel: ${nMels} bands, ${frames} frames`, String(nMels)), this.mel);
    }
    this.x = this.file && (await decode(this.file, this.sampleRate).catch(() => null));
    if (this.x) this.#show();
    else if (this.file) this.#say("This browser cannot read this file, so there is no picture of it.");
    this.element.setAttribute("aria-busy", "false");
  }

  /** Show how this clip differs from another one, or nothing where `other` is null. */
  async compare(other) {
    this.difference?.remove();
    if (!other?.x || !this.x || other === this) return;
    const x = other.sampleRate === this.sampleRate ? other.x : await decode(other.file, this.sampleRate);
    const hop = pictureHop(this.x);
    const patch = { frames: Math.max(Math.round(N_FFT / hop), 1), bins: PATCH_BINS }; // as long as one spectrum
    const found = difference(this.spectrum, spectrogram(x, N_FFT, hop), QUIETEST, patch);
    const mean = `${found.mean.toFixed(1)} dB on average`;
    const caption = element("p", { className: "about" }, `Difference from ${other.name}: ${mean}`);
    const label = `Difference of the spectrograms of ${this.name} and ${other.name}: ${mean}`;
    const canvas = this.#picture("spectrum", label, this.top);
    this.difference = element("div", { className: "difference" }, caption, canvas.parentNode);
    this.plots.append(this.difference);
    drawLevels(canvas, found, contrast(DIFFERENCE));
  }

  /** The time under a point of a picture, in seconds. */
  timeAt({ target, clientX }) {
    const box = target.getBoundingClientRect();
    return Math.min(Math.max((clientX - box.left) / box.width, 0), 1) * this.duration;
  }

  /** Release the sound. */
  close() {
    this.audio?.pause();
    this.element.remove();
    this.addresses.forEach((address) => URL.revokeObjectURL(address));
  }

  #show() {
    this.duration = this.x.length / this.sampleRate;
    this.peak = this.x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.spectrum = spectrogram(this.x, N_FFT, pictureHop(this.x));
    this.plots.style.setProperty("--duration", this.duration);
    this.top = `${Math.round(this.sampleRate / 2000)} kHz`;
    const length = `${this.duration.toFixed(2)} s`;
    this.#say(`${length} at ${this.sampleRate.toLocaleString("en")} Hz`);
    drawWaveform(this.#picture("wave", `Waveform of ${this.name}, ${length}`), this.x);
    const label = `Spectrogram of ${this.name}, 0 to ${this.top}, ${length}`;
    drawLevels(this.#picture("spectrum", label, this.top), this.spectrum, heat(QUIETEST, LOUDEST));
  }

  #address(blob) {
    this.addresses.push(URL.createObjectURL(blob));
    return this.addresses.at(-1);
  }

  #addPlayer(head) {
    this.audio = element("audio", { preload: "auto", src: this.#address(this.file) });
    this.button = element("button", { type: "button", className: "play", "aria-label": `Play ${this.name}` });
    this.audio.addEventListener("error", () => {
      this.button.disabled = true;
      this.#say("This browser cannot play this file.");
    });
    const show = () => this.button.setAttribute("aria-pressed", String(!this.audio.paused));
    for (const event of ["play", "pause"]) this.audio.addEventListener(event, show);
    head.prepend(this.button, this.audio);
  }

  #say(text) {
    this.about.textContent = [this.about.textContent, text].filter(Boolean).join(" · ");
  }

  /** A canvas in a frame with the line that shows the position, and `top` where the vertical axis ends. */
  #picture(className, label, top = "") {
    const canvas = element("canvas", { role: "img", "aria-label": label });
    const frame = element("div", { className: `picture ${className}` }, canvas, element("div", { className: "playhead" }));
    if (top) frame.append(element("span", { className: "top", "aria-hidden": "true" }, top));
    this.plots.append(frame);
    return canvas;
  }
}
