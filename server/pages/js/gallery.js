/** The clips: on common scales, compared with one of them, and played one at a time. */

import { RANGE } from "./clip.js";
import { element } from "./dom.js";

export class Gallery {
  constructor(place, row, choice) {
    Object.assign(this, { place, row, choice, clips: [], playing: null });
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const draw = () => this.#draw();
    choice.addEventListener("change", () => this.#compare());
    new ResizeObserver(draw).observe(place);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  /** Show one more clip. */
  async add(clip) {
    this.clips.push(clip);
    this.place.append(clip.element);
    if (clip.audio) this.#listen(clip);
    await clip.open();
    await this.#change();
  }

  /** Remove the clips for which `test` holds. */
  async remove(test) {
    this.clips.filter(test).forEach((clip) => clip.close());
    this.clips = this.clips.filter((clip) => !test(clip));
    if (!this.clips.includes(this.playing)) this.playing = null;
    await this.#change();
  }

  /** A clip that starts continues at the position of the one before: that is how to hear the difference. */
  #listen(clip) {
    const { audio } = clip;
    audio.addEventListener("play", () => {
      const before = this.playing;
      if (before && before !== clip) {
        const { currentTime, ended } = before.audio;
        before.audio.pause();
        if (!ended) audio.currentTime = Math.min(currentTime, clip.duration || Infinity);
      }
      this.playing = clip;
      for (const other of this.clips) other.element.classList.toggle("current", other === clip);
      this.#follow(clip);
    });
    for (const event of ["timeupdate", "seeked"]) audio.addEventListener(event, () => this.#point(clip));
    clip.plots.addEventListener("click", (event) => (audio.currentTime = clip.timeAt(event.clientX)));
  }

  /** Move the line with every frame of the screen; with reduced motion, only with the player's own events. */
  #follow(clip) {
    if (clip.audio.paused || this.still.matches) return;
    this.#point(clip);
    requestAnimationFrame(() => this.#follow(clip));
  }

  #point({ audio }) {
    for (const clip of this.clips) clip.pointAt(audio.currentTime);
  }

  async #change() {
    const sounds = this.clips.filter((clip) => clip.x);
    const chosen = this.choice.value;
    this.choice.replaceChildren(...sounds.map((clip) => element("option", { value: clip.id }, clip.name)));
    if (sounds.some((clip) => clip.id === chosen)) this.choice.value = chosen;
    this.row.hidden = sounds.length < 2;
    await this.#compare();
  }

  async #compare() {
    const reference = this.clips.find((clip) => clip.x && clip.id === this.choice.value) ?? null;
    for (const clip of this.clips) await clip.compare(reference, (reference?.loudest ?? 0) - RANGE);
    this.#draw();
  }

  #draw() {
    const most = (name, least) => this.clips.reduce((value, clip) => Math.max(value, clip[name]), least);
    const loudest = most("loudest", -Infinity);
    const scales = { seconds: most("duration", 0) || 1, peak: 1.05 * most("peak", 0) || 1, loudest };
    for (const clip of this.clips) clip.draw(scales);
  }
}
