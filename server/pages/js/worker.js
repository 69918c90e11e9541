/** Runs models with ONNX Runtime in a worker, so that the page stays responsive. */

const FILES = new URL("../local/", import.meta.url);
const sessions = new Map();
let runtime = null;

async function open(file) {
  if (sessions.has(file)) return sessions.get(file);
  runtime ??= await import(new URL("ort.wasm.min.mjs", FILES).href);
  runtime.env.wasm.wasmPaths = FILES.href;
  runtime.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const answer = await fetch(new URL(file, FILES));
  if (!answer.ok) throw new Error(`the model did not arrive (status ${answer.status})`);
  const session = await runtime.InferenceSession.create(await answer.arrayBuffer(), { executionProviders: ["wasm"] });
  sessions.set(file, session);
  return session;
}

self.addEventListener("message", async ({ data: { file, inputs } }) => {
  try {
    const session = await open(file);
    const tensor = ([name, { values, shape }]) => [name, new runtime.Tensor("float32", values, shape)];
    const started = performance.now();
    const { x } = await session.run(Object.fromEntries(Object.entries(inputs).map(tensor)));
    self.postMessage({ x: await x.getData(), milliseconds: performance.now() - started });
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
});
