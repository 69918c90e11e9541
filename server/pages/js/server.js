/** Requests to the server, and its problems. */

import { byId } from "./dom.js";

/** Why a request failed. */
export class Problem extends Error {
  constructor(title, detail, { status = 0, requestId = null, retryAfter = null } = {}) {
    super(detail);
    Object.assign(this, { title, status, requestId, retryAfter });
  }
}

/** Fetch a URL of this server; raise a Problem for any failure except cancellation. */
export async function ask(address, options = {}) {
  const answer = await fetch(address, options).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem("No answer", "The server did not answer: it may have stopped, or the network is down.");
  });
  if (answer.ok) return answer;
  const document = await answer.json().catch(() => ({})); // a proxy's answer has no problem document
  throw new Problem(document.title ?? "Error", document.detail ?? `The server answered with status ${answer.status}.`, {
    status: answer.status,
    requestId: document.request_id ?? answer.headers.get("X-Request-Id"),
    retryAfter: answer.headers.get("Retry-After"),
  });
}

/** Return { models, mel_presets, ... }. Idle models are requested by name, which loads them. */
export async function models() {
  const answer = await (await send("v1/models", {})).json();
  const described = async (model) => {
    if (model.state !== "idle") return model;
    return (await send(`v1/models/${encodeURIComponent(model.name)}`, {})).json();
  };
  return { ...answer, models: await Promise.all(answer.models.map(described)) };
}

/** Compute a recording's mel for a model, as the bytes of an npy file. */
export async function mel(recording, model, signal) {
  const headers = { "Content-Type": "application/octet-stream", Accept: "application/x-npy" };
  return (await send("v1/mel", { model: model.name }, { headers, body: recording, signal })).blob();
}

/** Synthesize a mel; empty settings are left to the server. Return the audio and its facts. */
export async function synthesize(mel, settings, model, signal) {
  const given = Object.entries({ ...settings, model: model.name, format: "wav" }).filter(([, value]) => value !== "");
  const headers = { "Content-Type": mel.type || "application/x-npy", Accept: "audio/wav" };
  const answer = await send("v1/synthesize", given, { headers, body: mel, signal });
  return { sound: await answer.blob(), ...readHeaders(answer.headers) };
}

function send(path, query, options = {}) {
  const key = byId("key").value.trim();
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const how = { method: options.body ? "POST" : "GET", headers, cache: "no-store" };
  return ask(`${path}?${new URLSearchParams(query)}`, { ...options, ...how });
}

function readHeaders(headers) {
  const timing = (headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g);
  const sent = [...headers].filter(([name]) => name.startsWith("x-") && name !== "x-audio-origin");
  const facts = sent.map(([name, value]) => [name.slice(2).replaceAll("-", " "), value]);
  for (const [, stage, milliseconds] of timing) facts.push([`time of ${stage}`, `${Number(milliseconds).toFixed(1)} ms`]);
  return {
    seed: headers.get("X-Seed"),
    sampleRate: Number(headers.get("X-Sample-Rate")),
    realTimeFactor: Number(headers.get("X-RTF")),
    clipped: Number(headers.get("X-Clipped-Samples")),
    recognised: headers.get("X-Mel-Recognised"),
    adapted: headers.get("X-Mel-Adapted"),
    doubt: headers.get("X-Mel-Guard-Message"),
    facts: Object.fromEntries(facts),
  };
}
