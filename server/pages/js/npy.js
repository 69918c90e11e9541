/** Reading the input, a recording or a mel, and writing mels as npy files. */

const TYPES = { safetensors: "application/vnd.safetensors", json: "application/json" };
const MEL = /\.(npy|npz|safetensors|json|pt|pth|ckpt|pkl)$/i; // if one is not a mel after all, the server says why
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** Read { values (n_mels, frames), nMels, frames } from an npy file of floats; null for anything else. */
export async function readNpy(file) {
  const data = new DataView(await file.arrayBuffer());
  if (data.byteLength < 12) return null;
  const [head, length] = data.getUint8(6) === 1 ? [10, data.getUint16(8, true)] : [12, data.getUint32(8, true)];
  const start = head + length;
  if (start > data.byteLength) return null;
  const header = new TextDecoder("latin1").decode(new Uint8Array(data.buffer, head, length));
  const size = Number(/'descr':\s*'<f([248])'/.exec(header)?.[1]);
  const shape = /'shape':\s*\(([\d, ]*)\)/.exec(header)?.[1].split(",").filter((part) => part.trim()).map(Number) ?? [];
  if (shape.length === 3 && shape[0] === 1) shape.shift();
  const [nMels, frames] = shape;
  if (!size || shape.length !== 2 || nMels * frames === 0 || start + size * nMels * frames !== data.byteLength) return null;
  const Floats = { 2: globalThis.Float16Array, 4: Float32Array, 8: Float64Array }[size];
  if (!Floats) return null; // 16 bits in an older browser
  const read = new Floats(data.buffer.slice(start));
  const columns = /'fortran_order':\s*True/.test(header);
  const place = (index) => (columns ? (index % frames) * nMels + Math.floor(index / frames) : index);
  return { values: Float32Array.from(read, (_, index) => read[place(index)]), nMels, frames };
}

/** Return the bytes of an npy file of 32-bit floats. */
export function writeNpy({ values, nMels, frames }) {
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${nMels}, ${frames}), }`;
  const header = `${dictionary.padEnd(117)}\n`; // 128 bytes with the 10 before it
  return new Blob([Uint8Array.from([...MAGIC, 1, 0, header.length, 0]), header, values], { type: "application/x-npy" });
}

/** Read a file as { kind: "recording" | "mel", name, file, mel }; `mel` is null if this page cannot show it. */
export async function readInput(file) {
  const [{ name }, mel] = [file, await readNpy(file)];
  if (!mel && !MEL.test(name)) return { kind: "recording", name, file, mel };
  const type = TYPES[name.split(".").at(-1).toLowerCase()] ?? "application/x-npy";
  return { kind: "mel", name, file: new Blob([file], { type }), mel };
}
