/** The clips: drawn to common scales, and played one at a time from a common position. */

const STEP = 0.5; // seconds that an arrow key moves

export class Gallery {
  constructor(place) {
    Object.assign(this, { place, clips: [], playing: null, time: 0 });
  }

  /** Add a clip, before the clip `next` if given. */
  async add(clip, next = null) {
    this.clips.splice(next ? this.clips.indexOf(next) : this.clips.length, 0, clip);
    this.place.insertBefore(clip.element, next?.element ?? null);
    if (clip.audio) this.#listen(clip);
    await clip.open();
    this.#rescale();
  }

  /** Remove the clips that pass `test`. */
  remove(test) {
    this.clips.filter(test).forEach((clip) => clip.close());
    this.clips = this.clips.filter((clip) => !test(clip));
    if (!this.clips.includes(this.playing)) this.playing = null;
    if (!this.clips.length) this.#point(0);
    this.#rescale();
  }

  #listen(clip) {
    const { audio, button, plots } = clip;
    button.addEventListener("click", () => (audio.paused ? this.#play(clip) : audio.pause()));
    button.addEventListener("keydown", ({ key }) => {
      const step = { ArrowLeft: -STEP, ArrowRight: STEP }[key];
      if (step) this.#seek(Math.min(Math.max(this.time + step, 0), clip.duration));
    });
    plots.addEventListener("click", (event) => event.target.tagName === "CANVAS" && this.#seek(clip.timeAt(event)));
    audio.addEventListener("timeupdate", () => clip === this.playing && this.#point(audio.currentTime));
    audio.addEventListener("ended", () => this.#point(0));
  }

  /** Start a clip where the last one stopped, so that differences are easy to hear. */
  #play(clip) {
    const last = this.playing?.audio;
    last?.pause();
    if (last && !last.ended) this.#point(last.currentTime);
    this.playing = clip;
    clip.audio.currentTime = this.time < (clip.duration || Infinity) ? this.time : 0;
    for (const other of this.clips) other.element.classList.toggle("current", other === clip);
    clip.audio.play().catch(() => {}); // the clip's own error handler reports it
  }

  #seek(time) {
    if (this.playing) this.playing.audio.currentTime = time;
    this.#point(time);
  }

  #point(time) {
    this.time = time;
    this.place.style.setProperty("--time", time);
  }

  #rescale() {
    for (const name of ["duration", "peak"]) {
      this.place.style.setProperty(`--most-${name}`, Math.max(...this.clips.map((clip) => clip[name]), 0) || 1);
    }
  }
}
