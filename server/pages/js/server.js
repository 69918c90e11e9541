/** The server's routes, and what it says when it cannot do something. */

const MODELS = "v1/models";
const MEL = "v1/mel";
const SYNTHESIZE = "v1/synthesize";

/** Why a request was not answered, in words. */
export class Problem extends Error {
  constructor(title, detail, { status = 0, requestId = null, retryAfter = null } = {}) {
    super(detail);
    this.title = title;
    this.status = status;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }
}

/** Asks the server that the page came from; `key()` is the API key to show it, "" for none. */
export class Server {
  constructor(key) {
    this.key = key;
  }

  /** What there is: { models, mel_presets, ... }. */
  async models() {
    return (await this.#ask(MODELS)).json();
  }

  /** The mel, as the bytes of an npy file, that a model expects of a recording. */
  async mel(recording, model, signal) {
    const query = new URLSearchParams({ model });
    const headers = { "Content-Type": "application/octet-stream", Accept: "application/x-npy" };
    return (await this.#ask(`${MEL}?${query}`, { method: "POST", body: recording, headers, signal })).blob();
  }

  /** Have a model speak; settings left empty are the server's own. Returns the sound and what came with it. */
  async speak(mel, settings, signal) {
    const given = Object.entries({ ...settings, format: "wav" }).filter(([, value]) => value !== "");
    const headers = { "Content-Type": mel.type || "application/x-npy", Accept: "audio/wav" };
    const started = performance.now();
    const query = new URLSearchParams(given);
    const answer = await this.#ask(`${SYNTHESIZE}?${query}`, { method: "POST", body: mel, headers, signal });
    const sound = await answer.blob();
    return { sound, milliseconds: performance.now() - started, ...readHeaders(answer.headers) };
  }

  async #ask(path, options = {}) {
    const key = this.key();
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("No answer", "The server did not answer: it may have been stopped, or the network is down.");
    }
    if (!answer.ok) throw await readProblem(answer);
    return answer;
  }
}

async function readProblem(answer) {
  let document = {};
  try {
    document = await answer.json();
  } catch {
    // Not from the application: the status alone has to do.
  }
  const title = document.title ?? `Error ${answer.status}`;
  const detail = document.detail ?? `The server answered with status ${answer.status} ${answer.statusText}.`.replace(" .", ".");
  return new Problem(title, detail, {
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
