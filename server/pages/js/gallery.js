/** The clips that are shown, their common scales, and which one the others are compared with. */

import { RANGE } from "./clip.js";
import { element } from "./dom.js";

export class Gallery {
  constructor(place, player, row, choice) {
    Object.assign(this, { place, player, row, choice, clips: [] });
    choice.addEventListener("change", () => this.#compare());
    const draw = () => this.#draw();
    new ResizeObserver(draw).observe(place);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  /** Show one more clip. */
  async add(clip) {
    this.clips.push(clip);
    this.place.append(clip.element);
    await clip.open();
    await this.#change();
  }

  /** Take away the clips for which `test` holds. */
  async remove(test) {
    for (const clip of this.clips.filter(test)) clip.close();
    this.clips = this.clips.filter((clip) => !test(clip));
    await this.#change();
  }

  async #change() {
    this.player.offer(this.clips);
    const sounds = this.clips.filter((clip) => clip.x);
    const chosen = this.choice.value;
    this.choice.replaceChildren(...sounds.map((clip) => element("option", { value: clip.id }, clip.name)));
    if (sounds.some((clip) => clip.id === chosen)) this.choice.value = chosen;
    this.row.hidden = sounds.length < 2;
    await this.#compare();
  }

  async #compare() {
    const reference = this.clips.find((clip) => clip.x && clip.id === this.choice.value) ?? null;
    const floor = (reference?.loudest ?? 0) - RANGE;
    for (const clip of this.clips) await clip.compare(reference, floor);
    this.#draw();
  }

  #draw() {
    const sounds = this.clips.filter((clip) => clip.x);
    const most = (values) => values.reduce((a, b) => Math.max(a, b), 0);
    const seconds = most(sounds.map((clip) => clip.duration)) || 1;
    const peak = 1.05 * most(sounds.map((clip) => clip.peak)) || 1;
    const loudest = sounds.length ? sounds.map((clip) => clip.loudest).reduce((a, b) => Math.max(a, b)) : 0;
    for (const clip of this.clips) clip.draw({ seconds, peak, loudest });
  }
}
