/** The server's routes and its problems. */

/** Why a request failed, in words. */
export class Problem extends Error {
  constructor(title, detail, { status = 0, requestId = null, retryAfter = null } = {}) {
    super(detail);
    Object.assign(this, { title, status, requestId, retryAfter });
  }
}

/** Asks the server that the page came from; `key()` is the API key, "" for none. */
export class Server {
  constructor(key) {
    this.key = key;
  }

  /** The models: { models, mel_presets, ... }. */
  async models() {
    return (await this.#ask("v1/models")).json();
  }

  /** The mel of a recording for a model, as the bytes of an npy file. */
  async mel(recording, model, signal) {
    const headers = { "Content-Type": "application/octet-stream", Accept: "application/x-npy" };
    return (await this.#ask("v1/mel", { model: model.name }, { body: recording, headers, signal })).blob();
  }

  /** Synthesize a mel; empty settings are left to the server. Returns the sound and what came with it. */
  async synthesize(mel, settings, model, signal) {
    const given = Object.entries({ ...settings, model: model.name, format: "wav" }).filter(([, value]) => value !== "");
    const headers = { "Content-Type": mel.type || "application/x-npy", Accept: "audio/wav" };
    const started = performance.now();
    const answer = await this.#ask("v1/synthesize", given, { body: mel, headers, signal });
    const sound = await answer.blob();
    return { sound, milliseconds: performance.now() - started, ...readHeaders(answer.headers) };
  }

  async #ask(path, query = {}, options = {}) {
    const key = this.key();
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    const method = options.body ? "POST" : "GET";
    let answer;
    try {
      answer = await fetch(`${path}?${new URLSearchParams(query)}`, { ...options, method, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("No answer", "The server did not answer: it may have been stopped, or the network is down.");
    }
    if (!answer.ok) throw await readProblem(answer);
    return answer;
  }
}

async function readProblem(answer) {
  const document = await answer.json().catch(() => ({})); // a proxy's answer has no problem document
  const status = `The server answered with status ${answer.status}.`;
  return new Problem(document.title ?? `Error ${answer.status}`, document.detail ?? status, {
    status: answer.status,
    requestId: document.request_id ?? answer.headers.get("X-Request-Id"),
    retryAfter: answer.headers.get("Retry-After"),
  });
}

function readHeaders(headers) {
  const timing = headers.get("Server-Timing") ?? "";
  const stages = [...timing.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, stage, duration]) => [stage, Number(duration)]);
  return {
    seed: headers.get("X-Seed"),
    sampleRate: Number(headers.get("X-Sample-Rate")),
    realTimeFactor: Number(headers.get("X-RTF")),
    clipped: Number(headers.get("X-Clipped-Samples") ?? 0),
    stages: Object.fromEntries(stages),
    recognised: headers.get("X-Mel-Recognised"),
    adapted: headers.get("X-Mel-Adapted"),
    guard: [...headers].filter(([name]) => name.toLowerCase().startsWith("x-mel-guard")),
  };
}
