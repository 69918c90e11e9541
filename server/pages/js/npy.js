/** Mels in npy files, to be drawn and to be spoken. */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** Whether a file begins as npy files do. */
export async function isNpy(file) {
  const start = new Uint8Array(await file.slice(0, MAGIC.length).arrayBuffer());
  return start.length === MAGIC.length && MAGIC.every((byte, index) => start[index] === byte);
}

/** Read { values (n_mels, frames), nMels, frames } from an npy file of floats; null where it is anything else. */
export async function readNpy(file) {
  const data = new DataView(await file.arrayBuffer());
  if (data.byteLength < 12) return null;
  const [start, length] = data.getUint8(6) === 1 ? [10, data.getUint16(8, true)] : [12, data.getUint32(8, true)];
  if (start + length > data.byteLength) return null;
  const header = new TextDecoder("latin1").decode(new Uint8Array(data.buffer, start, length));
  const size = Number(/'descr':\s*'<f([248])'/.exec(header)?.[1]);
  const shape = /'shape':\s*\(([\d, ]*)\)/.exec(header)?.[1].split(",").filter((part) => part.trim()).map(Number) ?? [];
  if (shape.length === 3 && shape[0] === 1) shape.shift();
  const count = shape.reduce((product, part) => product * part, 1);
  if (!size || shape.length !== 2 || count === 0 || start + length + size * count !== data.byteLength) return null;
  const [nMels, frames] = shape;
  const columnFirst = /'fortran_order':\s*True/.test(header);
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    const place = columnFirst ? (index % nMels) * frames + Math.floor(index / nMels) : index;
    values[place] = float(data, start + length + size * index, size);
  }
  return { values, nMels, frames };
}

/** The bytes of an npy file of 32-bit floats from { values (n_mels, frames), nMels, frames }. */
export function writeNpy({ values, nMels, frames }) {
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${nMels}, ${frames}), }`;
  const header = `${dictionary.padEnd(117)}\n`; // with the 10 bytes before it, 128
  const start = Uint8Array.from([...MAGIC, 1, 0, header.length, 0]);
  return new Blob([start, header, values], { type: "application/x-npy" });
}

function float(data, place, size) {
  if (size === 8) return data.getFloat64(place, true);
  if (size === 4) return data.getFloat32(place, true);
  const bits = data.getUint16(place, true);
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
