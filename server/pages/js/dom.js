/** Creating elements and decoding audio files. */

/** Create an element with properties, attributes (aria-*, data-*, role, scope) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "scope") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Decode an audio file to mono samples (T,) at `sampleRate`. */
export async function decode(file, sampleRate) {
  const context = new OfflineAudioContext(1, 1, sampleRate);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const channels = Array.from({ length: sound.numberOfChannels }, (_, index) => sound.getChannelData(index));
  return channels[0].map((_, index) => channels.reduce((sum, x) => sum + x[index], 0) / channels.length);
}
