/** Noise for models that run in this page. */

/** Return `count` normal numbers with standard deviation `sigma` (Box-Muller). */
export function noise(count, sigma) {
  const radius = () => sigma * Math.sqrt(-2 * Math.log(1 - Math.random()));
  return Float32Array.from({ length: count }, () => radius() * Math.cos(2 * Math.PI * Math.random()));
}
