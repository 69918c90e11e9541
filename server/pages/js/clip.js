/** One clip: its audio, its plots, and the card that shows both. */

import { decode, element } from "./dom.js";
import { drawLevels, drawMel, drawWaveform, heat } from "./plots.js";
import { spectrogram } from "./spectra.js";
import { folded } from "./words.js";

const N_FFT = 1024;
const QUIETEST = -95; // decibels shown
const LOUDEST = -15;

export class Clip {
  /** A clip has an audio `file`, or only a `mel`. `facts` are shown folded; `links` are [text, blob, file name]. */
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

  /** Decode the audio and draw the plots. */
  async open() {
    if (this.mel) {
      const { nMels, frames } = this.mel;
      drawMel(this.#picture("mel", `Plot of the mel: ${nMels} bands, ${frames} frames`, String(nMels)), this.mel);
    }
    const x = this.file && (await decode(this.file, this.sampleRate).catch(() => null));
    if (x) this.#show(x);
    else if (this.file) this.#say("This browser cannot decode this file, so there is no plot of it.");
    this.element.setAttribute("aria-busy", "false");
  }

  /** The time in seconds at a point of a plot. */
  timeAt({ target, clientX }) {
    const box = target.getBoundingClientRect();
    return Math.min(Math.max((clientX - box.left) / box.width, 0), 1) * this.duration;
  }

  /** Remove the clip and release its audio. */
  close() {
    this.audio?.pause();
    this.element.remove();
    this.addresses.forEach((address) => URL.revokeObjectURL(address));
  }

  #show(x) {
    this.duration = x.length / this.sampleRate;
    this.peak = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.plots.style.setProperty("--duration", this.duration);
    const top = `${Math.round(this.sampleRate / 2000)} kHz`;
    const length = `${this.duration.toFixed(2)} s`;
    this.#say(`${length} at ${this.sampleRate.toLocaleString("en")} Hz`);
    drawWaveform(this.#picture("wave", `Waveform of ${this.name}, ${length}`), x);
    const hop = Math.max(64, Math.ceil(x.length / 1200)); // coarser for long clips, so that drawing stays fast
    const canvas = this.#picture("spectrum", `Spectrogram of ${this.name}, 0 to ${top}, ${length}`, top);
    drawLevels(canvas, spectrogram(x, N_FFT, hop), heat(QUIETEST, LOUDEST));
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
      this.#say("This browser cannot play this file. Is it audio, such as wav, flac or mp3?");
    });
    const show = () => this.button.setAttribute("aria-pressed", String(!this.audio.paused));
    for (const event of ["play", "pause"]) this.audio.addEventListener(event, show);
    head.prepend(this.button, this.audio);
  }

  #say(text) {
    this.about.textContent = [this.about.textContent, text].filter(Boolean).join(" · ");
  }

  /** A canvas with a playhead, and the label `top` at the end of its vertical axis. */
  #picture(className, label, top = "") {
    const canvas = element("canvas", { role: "img", "aria-label": label });
    const frame = element("div", { className: `picture ${className}` }, canvas, element("div", { className: "playhead" }));
    if (top) frame.append(element("span", { className: "top", "aria-hidden": "true" }, top));
    this.plots.append(frame);
    return canvas;
  }
}
