/** The input: a recording or a mel. */

import { readNpy } from "./npy.js";

const TYPES = { safetensors: "application/vnd.safetensors", json: "application/json" };
const MEL = /\.(npy|npz|safetensors|json|pt|pth|ckpt|pkl)$/i; // if one is not a mel after all, the server says why

/** Read a file as { kind: "recording" | "mel", name, file, mel }; `mel` is null if this page cannot show it. */
export async function readInput(file) {
  const [{ name }, mel] = [file, await readNpy(file)];
  if (!mel && !MEL.test(name)) return { kind: "recording", name, file, mel };
  const type = TYPES[name.split(".").at(-1).toLowerCase()] ?? "application/x-npy";
  return { kind: "mel", name, file: new Blob([file], { type }), mel };
}
