/** One clip sounds at a time, and another takes over where it is: the way to hear how they differ. */

import { element } from "./dom.js";

export class Player {
  constructor(bar, play, choices, loop) {
    Object.assign(this, { bar, play, choices, loop, clips: [], current: null });
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)");
    play.addEventListener("click", () => this.#toggle());
    loop.addEventListener("change", () => this.clips.forEach((clip) => (clip.audio.loop = loop.checked)));
  }

  /** Offer these clips, those of them that sound; keep the current one if it is still there. */
  offer(clips) {
    const before = new Set(this.clips);
    this.clips = clips.filter((clip) => clip.audio);
    for (const clip of this.clips) if (!before.has(clip)) this.#listen(clip);
    this.choices.querySelectorAll("label").forEach((label) => label.remove());
    for (const clip of this.clips) {
      const radio = element("input", { type: "radio", name: "clip", value: clip.id });
      radio.addEventListener("change", () => this.select(clip));
      this.choices.append(element("label", { className: "tick" }, radio, clip.name));
    }
    this.bar.hidden = this.clips.length === 0;
    if (!this.clips.includes(this.current)) this.current = null;
    if (this.clips.length) this.#show(this.current ?? this.clips[0]);
  }

  /** Make a clip the current one, at the place where the last one was, and sounding if that one was. */
  select(clip) {
    const last = this.current;
    this.#show(clip);
    if (last && last !== clip) {
      const sounding = !last.audio.paused;
      clip.audio.currentTime = Math.min(last.audio.currentTime, clip.duration || Infinity);
      last.audio.pause();
      if (sounding) this.#start(clip);
    }
    this.#point();
  }

  #toggle() {
    if (this.current.audio.paused) this.#start(this.current);
    else this.current.audio.pause();
  }

  #start(clip) {
    clip.audio.play().catch(() => this.#state()); // the clip's own player says why it cannot
  }

  #listen(clip) {
    clip.audio.loop = this.loop.checked;
    clip.audio.addEventListener("play", () => {
      for (const other of this.clips) if (other !== clip) other.audio.pause();
      this.#show(clip);
      this.#follow();
    });
    for (const event of ["pause", "ended"]) clip.audio.addEventListener(event, () => this.#state());
    for (const event of ["timeupdate", "seeked"]) clip.audio.addEventListener(event, () => this.#point());
    clip.plots.addEventListener("click", (event) => {
      this.select(clip);
      clip.audio.currentTime = clip.timeAt(event.clientX);
    });
  }

  #show(clip) {
    this.current = clip;
    for (const other of this.clips) other.element.classList.toggle("current", other === clip);
    for (const radio of this.choices.querySelectorAll("input")) radio.checked = radio.value === clip.id;
    this.#state();
  }

  #state() {
    const sounding = Boolean(this.current && !this.current.audio.paused);
    this.play.textContent = sounding ? "Pause" : "Play";
    this.play.setAttribute("aria-label", `${sounding ? "Pause" : "Play"} ${this.current?.name ?? ""}`);
  }

  #point() {
    const time = this.current?.audio.currentTime ?? 0;
    for (const clip of this.clips) clip.pointAt(time);
  }

  /** Move the line with every frame of the screen; with less motion, only as often as the player reports its place. */
  #follow() {
    const step = () => {
      if (!this.current || this.current.audio.paused) return;
      this.#point();
      requestAnimationFrame(step);
    };
    if (!this.still.matches) requestAnimationFrame(step);
  }
}
