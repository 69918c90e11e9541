/** Writes wav files with their origin, as the server does. */

/** Return a 16-bit wav file as { sound (a blob), clipped (number of clipped samples) }. `origin` is JSON. */
export function wavOf(x, sampleRate, origin, version) {
  const clipped = x.reduce((count, value) => count + (Math.abs(value) > 1), 0);
  const data = Int16Array.from(x, (value) => Math.min(Math.max(Math.round(value * 32768), -32768), 32767));
  const halves = (value) => [value & 0xffff, value >> 16];
  const layout = Uint16Array.of(1, 1, ...halves(sampleRate), ...halves(2 * sampleRate), 2, 16); // PCM, one channel, 16 bits
  const escaped = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const ascii = origin.replaceAll(/[\u0080-\uffff]/g, escaped); // every reader of these fields accepts ASCII
  const info = ["INFO", chunk("ISFT", `flow-vocoder ${version}\0`), chunk("ICMT", `${ascii}\0`)];
  const parts = ["WAVE", chunk("fmt ", layout), chunk("LIST", ...info), chunk("data", data)];
  return { sound: new Blob([chunk("RIFF", ...parts)], { type: "audio/wav" }), clipped };
}

/** A RIFF chunk, padded to an even length. */
function chunk(name, ...parts) {
  const content = new Blob(parts);
  return new Blob([name, Uint32Array.of(content.size), content, new Uint8Array(content.size % 2)]);
}
