/** Samples to a wav file with its origin, as the server writes it. */

/** A wav file of 16-bit integers: { sound (a blob), clipped (number of clipped samples) }. `origin` is JSON. */
export function wavOf(x, sampleRate, origin, version) {
  let clipped = 0;
  const data = Int16Array.from(x, (value) => {
    if (Math.abs(value) > 1) clipped += 1;
    return Math.min(Math.max(Math.round(value * 32768), -32768), 32767);
  });
  const layout = new DataView(new ArrayBuffer(16));
  [1, 1].forEach((value, index) => layout.setUint16(2 * index, value, true)); // PCM, one channel
  [sampleRate, 2 * sampleRate].forEach((value, index) => layout.setUint32(4 + 4 * index, value, true));
  [2, 16].forEach((value, index) => layout.setUint16(12 + 2 * index, value, true)); // bytes and bits of a sample
  const told = ["INFO", chunk("ISFT", `flow-vocoder ${version}\0`), chunk("ICMT", `${ascii(origin)}\0`)];
  const parts = ["WAVE", chunk("fmt ", layout.buffer), chunk("LIST", ...told), chunk("data", data)];
  return { sound: new Blob([chunk("RIFF", ...parts)], { type: "audio/wav" }), clipped };
}

/** A RIFF chunk, padded to an even length. */
function chunk(name, ...parts) {
  const content = new Blob(parts);
  const size = new DataView(new ArrayBuffer(4));
  size.setUint32(0, content.size, true);
  return new Blob([name, size, content, new Uint8Array(content.size % 2)]);
}

/** JSON in ASCII, which every reader of these fields takes. */
function ascii(json) {
  return json.replaceAll(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
