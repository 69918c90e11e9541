/** The input: a recording or a mel, by file chooser, by drop, or the example. */

import { isNpy, readNpy } from "./npy.js";

/** Calls `chosen({ kind: "recording" | "mel", name, file, mel })` for each file. */
export class Input {
  constructor({ zone, field, example }, chosen, failed) {
    Object.assign(this, { field, chosen, failed, brought: false });
    field.addEventListener("change", () => field.files.length && this.#bring(field.files[0]));
    example.addEventListener("click", () => this.useExample());
    const over = (on) => zone.classList.toggle("over", on);
    zone.addEventListener("dragover", () => over(true));
    for (const event of ["dragleave", "drop"]) zone.addEventListener(event, () => over(false));
    // Anywhere on the page: a file that misses the zone would replace the page.
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file) this.#bring(file);
    });
  }

  /** Take the recording that comes with the page; `first`: only if there is no other yet. */
  async useExample(first = false) {
    const answer = await fetch("page/example.flac").catch(() => null);
    if (!answer?.ok) return this.failed();
    const file = new File([await answer.blob()], "example.flac", { type: "audio/flac" });
    if (!(first && this.brought)) await this.#bring(file);
  }

  async #bring(file) {
    this.brought = true;
    const list = new DataTransfer();
    list.items.add(file);
    this.field.files = list.files; // so that the field also names a dropped file
    const { name } = file;
    const typed = (type) => new Blob([file], { type });
    if (name.endsWith(".safetensors")) {
      this.chosen({ kind: "mel", name, file: typed("application/vnd.safetensors"), mel: null });
    } else if (name.endsWith(".npy") || (await isNpy(file))) {
      this.chosen({ kind: "mel", name, file: typed("application/x-npy"), mel: await readNpy(file) });
    } else {
      this.chosen({ kind: "recording", name, file });
    }
  }
}
