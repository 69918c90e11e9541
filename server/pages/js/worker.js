/** Runs models in ONNX Runtime beside the page, which stays responsive. */

const FILES = new URL("../local/", import.meta.url);
const RUNTIMES = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };
const sessions = new Map();
let runtime = null;

async function open(file, provider) {
  const key = `${provider} ${file}`;
  if (sessions.has(key)) return sessions.get(key);
  runtime ??= await import(new URL(RUNTIMES[provider], FILES).href); // one runtime per worker
  runtime.env.wasm.wasmPaths = FILES.href;
  runtime.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const answer = await fetch(new URL(file, FILES));
  if (!answer.ok) throw new Error(`the model did not arrive (status ${answer.status})`);
  const session = await runtime.InferenceSession.create(await answer.arrayBuffer(), { executionProviders: [provider] });
  sessions.set(key, session);
  return session;
}

self.addEventListener("message", async ({ data: { file, provider, inputs } }) => {
  try {
    const session = await open(file, provider);
    const tensor = ([name, { values, shape }]) => [name, new runtime.Tensor("float32", values, shape)];
    const started = performance.now();
    const { x } = await session.run(Object.fromEntries(Object.entries(inputs).map(tensor)));
    self.postMessage({ x: await x.getData(), milliseconds: performance.now() - started });
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
});
