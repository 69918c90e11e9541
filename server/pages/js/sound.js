/** Sound files to samples. */

/** Decode a sound file to mono samples (T,) at `sampleRate`, resampled where it has another. */
export async function decode(file, sampleRate) {
  const context = new OfflineAudioContext(1, 1, sampleRate);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const x = sound.getChannelData(0).slice();
  for (let channel = 1; channel < sound.numberOfChannels; channel++) {
    const more = sound.getChannelData(channel);
    for (let index = 0; index < x.length; index++) x[index] += more[index];
  }
  return sound.numberOfChannels > 1 ? x.map((value) => value / sound.numberOfChannels) : x;
}

/** The step between the columns of a picture of x: fine, but never so fine that a long clip takes long to draw. */
export function pictureHop(x) {
  return Math.max(64, Math.ceil(x.length / 1200));
}
