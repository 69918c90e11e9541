/** Samples to a wav file that says where they come from, as the server's do. */

/**
 * A wav file of 16-bit integers: { sound (a blob), clipped (samples set to full scale) }. `origin` is the JSON that says
 * where they come from.
 */
export function wavOf(x, sampleRate, origin, version) {
  const data = new Int16Array(x.length);
  let clipped = 0;
  x.forEach((value, index) => {
    if (Math.abs(value) > 1) clipped += 1;
    data[index] = Math.min(Math.max(Math.round(value * 32768), -32768), 32767);
  });
  const layout = new DataView(new ArrayBuffer(16));
  layout.setUint16(0, 1, true);
  layout.setUint16(2, 1, true);
  layout.setUint32(4, sampleRate, true);
  layout.setUint32(8, 2 * sampleRate, true);
  layout.setUint16(12, 2, true);
  layout.setUint16(14, 16, true);
  const told = [text("INFO"), chunk("ISFT", text(`flow-vocoder ${version}\0`)), chunk("ICMT", text(`${ascii(origin)}\0`))];
  const parts = [text("WAVE"), chunk("fmt ", layout.buffer), chunk("LIST", joined(told)), chunk("data", data.buffer)];
  return { sound: new Blob([chunk("RIFF", joined(parts))], { type: "audio/wav" }), clipped };
}

/** A RIFF chunk, of an even number of bytes. */
function chunk(name, content) {
  const size = content.byteLength;
  const bytes = new Uint8Array(8 + size + (size % 2));
  bytes.set(text(name));
  new DataView(bytes.buffer).setUint32(4, size, true);
  bytes.set(new Uint8Array(content.buffer ?? content, content.byteOffset ?? 0, size), 8);
  return bytes;
}

function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.byteLength;
  }
  return bytes;
}

/** JSON in ASCII, which every reader of these fields takes. */
function ascii(json) {
  const escape = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return json.replaceAll(/[\u0080-\uffff]/g, escape);
}

function text(letters) {
  return new TextEncoder().encode(letters);
}
