/** The server's white noise, to the last bit but one: what a seed means there, it means here. */

const BLOCK_FRAMES = 32; // frames drawn from one generator, as vocoder/noise.py has it
const MASK = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];
const ROUNDS = 10;

/**
 * Philox 4x64-10, a generator that counts (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), read in
 * 32-bit halves in the order of NumPy.
 */
export class Philox {
  constructor(key) {
    this.key = key.map(BigInt);
    this.counter = 0n;
    this.words = new Uint32Array(8);
    this.next = 8;
  }

  /** The next 32 bits. */
  word() {
    if (this.next === this.words.length) this.#refill();
    return this.words[this.next++];
  }

  /** The next number of [0, 1), of 24 bits. */
  fraction() {
    return (this.word() >>> 8) / 2 ** 24;
  }

  #refill() {
    this.counter += 1n;
    let [a, b, c, d] = [this.counter & MASK, this.counter >> 64n, 0n, 0n];
    let [k, l] = this.key;
    for (let round = 0; round < ROUNDS; round++) {
      const first = MULTIPLIERS[0] * a;
      const second = MULTIPLIERS[1] * c;
      [a, b, c, d] = [(second >> 64n) ^ b ^ k, second & MASK, (first >> 64n) ^ d ^ l, first & MASK];
      k = (k + WEYL[0]) & MASK;
      l = (l + WEYL[1]) & MASK;
    }
    [a, b, c, d].forEach((value, index) => {
      this.words[2 * index] = Number(value & 0xffffffffn);
      this.words[2 * index + 1] = Number(value >> 32n);
    });
    this.next = 0;
  }
}

const LAYERS = 256;
const START = 3.6541528853610088; // where the tail begins
const AREA = 0.004928673233992336; // of each layer
const STEPS = 2 ** 23; // of a layer's width

/** The layers of the ziggurat (Marsaglia and Tsang, "The ziggurat method for generating random variables", 2000). */
function layers() {
  const density = (x) => Math.exp(-0.5 * x * x);
  const inside = new Uint32Array(LAYERS);
  const widths = new Float32Array(LAYERS);
  const heights = new Float32Array(LAYERS);
  const base = AREA / density(START);
  let x = START;
  let outer = START;
  [inside[0], widths[0], heights[0]] = [(START / base) * STEPS, base / STEPS, 1];
  [widths[LAYERS - 1], heights[LAYERS - 1]] = [START / STEPS, density(START)];
  for (let index = LAYERS - 2; index > 0; index--) {
    x = Math.sqrt(-2 * Math.log(AREA / x + density(x)));
    inside[index + 1] = (x / outer) * STEPS;
    [widths[index], heights[index]] = [x / STEPS, density(x)];
    outer = x;
  }
  return { inside, widths, heights };
}

const { inside, widths, heights } = layers();

/** The next standard normal number, as 32-bit floats. */
function normal(generator) {
  for (;;) {
    const word = generator.word();
    const index = word & 0xff;
    const steps = word >>> 9;
    const size = Math.fround(steps * widths[index]);
    const x = (word >>> 8) & 1 ? -size : size;
    if (steps < inside[index]) return x;
    if (index === 0) return tail(generator, steps);
    const height = (heights[index - 1] - heights[index]) * generator.fraction() + heights[index];
    if (height < Math.exp(-0.5 * x * x)) return x;
  }
}

function tail(generator, steps) {
  for (;;) {
    const x = -Math.log1p(-generator.fraction()) / START;
    const y = -Math.log1p(-generator.fraction());
    if (y + y > x * x) return (steps >>> 8) & 1 ? -(START + x) : START + x;
  }
}

/** Noise (channels, frames * stepsPerFrame) of a seed, `sigma` times standard normal. */
export function whiteNoise(seed, frames, channels, stepsPerFrame, sigma = 1) {
  const steps = frames * stepsPerFrame;
  const noise = new Float32Array(channels * steps);
  const blockSteps = BLOCK_FRAMES * stepsPerFrame;
  for (let block = 0; block * blockSteps < steps; block++) {
    const generator = new Philox([seed, block]);
    for (let step = block * blockSteps; step < Math.min((block + 1) * blockSteps, steps); step++) {
      for (let channel = 0; channel < channels; channel++) noise[channel * steps + step] = sigma * normal(generator);
    }
  }
  return noise;
}
