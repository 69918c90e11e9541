/** Runs models in ONNX Runtime, beside the page, so that the page stays alive meanwhile. */

const FILES = new URL("../local/", import.meta.url);
const RUNTIMES = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };
const sessions = new Map();
let runtime = null;

/** The runtime for an execution provider; one of both lives in a worker. */
async function load(provider) {
  runtime ??= await import(new URL(RUNTIMES[provider], FILES).href);
  runtime.env.wasm.wasmPaths = FILES.href;
  runtime.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  return runtime;
}

async function open(file, provider) {
  const key = `${provider} ${file}`;
  if (!sessions.has(key)) {
    const { InferenceSession } = await load(provider);
    const answer = await fetch(new URL(file, FILES));
    if (!answer.ok) throw new Error(`the model did not come (status ${answer.status})`);
    sessions.set(key, await InferenceSession.create(await answer.arrayBuffer(), { executionProviders: [provider] }));
  }
  return sessions.get(key);
}

self.addEventListener("message", async ({ data: { file, provider, inputs } }) => {
  try {
    const session = await open(file, provider);
    const { Tensor } = runtime;
    const given = Object.entries(inputs).map(([name, { values, shape }]) => [name, new Tensor("float32", values, shape)]);
    const started = performance.now();
    const { x } = await session.run(Object.fromEntries(given));
    const samples = await x.getData();
    self.postMessage({ x: samples, milliseconds: performance.now() - started });
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
});
