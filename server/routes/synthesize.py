"""POST /v1/synthesize and WebSocket /v1/stream: a mel in, a waveform out, whole or in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, WebSocket

from server.audio.formats import FORMATS, STREAM_FORMATS, Format, Level, negotiate
from server.limits.shares import hold_bytes
from server.problems import Problem
from server.request.admit import Admitted, as_headers, facts, mel_path
from server.request.asked import SynthesisQuery
from server.request.decode import JSON, decode_mel
from server.request.exchange import Exchange, media_type
from server.routes.openapi import AUDIO_RESPONSE, MEL_BODY, PROBLEMS
from server.service import ServiceDependency
from server.stream.chunks import VALUE_BYTES, ChunkStream, chunk_bytes
from server.stream.encoder import StreamEncoder
from server.stream.response import StreamedAudio
from server.stream.session import WebSocketSession
from vocoder.adapt.path import Placement
from vocoder.audio.origin import Origin

router = APIRouter(tags=["synthesis"])

RESPONSES = {
    200: AUDIO_RESPONSE,
    **PROBLEMS,
}


@dataclass(frozen=True)
class _Wanted:
    """How the audio of an answer is written: format, sample rate in Hz, level, and what it says of its origin."""

    format: Format
    rate: int
    level: Level
    origin: Origin | None


@router.post("/v1/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
@router.post("/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
async def synthesize(http: Request, query: Annotated[SynthesisQuery, Query()], service: ServiceDependency) -> Response:
    """Turn one mel-spectrogram into one waveform."""
    if query.stream and http.scope["http_version"] == "1.0":
        detail = "A stream needs HTTP/1.1: in HTTP/1.0 a broken connection looks like the end of the audio."
        raise Problem("upgrade-required", detail, headers={"Upgrade": "HTTP/1.1", "Connection": "Upgrade"})
    offers = STREAM_FORMATS if query.stream else FORMATS
    target, answer_type = negotiate(query.format, http.headers.get("accept"), offers)
    exchange = Exchange(http, service, query.model)
    name, config, kind = exchange.engine.name, exchange.engine.mel_config, media_type(http)
    rate, level = target.rate(config.sample_rate, query.sample_rate), query.level(query.stream)
    mel_path(query, config, service.mel_configs)  # reports errors before the body is read
    body = await exchange.read(service.settings.max_json_bytes if kind == JSON else service.settings.max_body_bytes)
    admitted = await exchange.admit(partial(decode_mel, body, kind, http.headers), query)
    origin = service.origin(exchange.engine, admitted.sampling.seed)
    headers = {"Content-Type": target.content_type(answer_type)} | as_headers(
        facts(admitted, rate, exchange.engine.dtype, level), name, origin
    )
    answer = _stream if query.stream else _answer
    return await answer(exchange, admitted, _Wanted(target, rate, level, origin), headers)


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket, service: ServiceDependency) -> None:
    """Synthesize one mel while it is being made."""
    await WebSocketSession(websocket, service).run()


@router.get("/v1/stream", include_in_schema=False)
async def refuse_plain_request() -> None:
    """Refuse a request without an upgrade."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise Problem(
        "upgrade-required", "This address is a WebSocket: connect to it with ws:// or wss://.", headers=headers
    )


async def _answer(exchange: Exchange, admitted: Admitted, wanted: _Wanted, headers: dict[str, str]) -> Response:
    samples = admitted.path.samples(admitted.frames)
    exchange.expect(admitted, VALUE_BYTES * (samples + samples * wanted.rate // exchange.engine.mel_config.sample_rate))
    synthesis, reached = await exchange.synthesize(admitted, wanted.level)
    encode = partial(wanted.format.encode, synthesis.x, synthesis.sample_rate, wanted.rate, wanted.origin)
    encoded = await exchange.encode(wanted.format.name, encode, lambda encoded: encoded.clipped)
    hold_bytes(exchange.http, len(encoded.body))
    duration = len(synthesis.x) / synthesis.sample_rate
    headers |= {} if reached == wanted.level else {"X-Gain": f"{reached.gain:.2f}"}
    headers |= {
        "X-Audio-Samples": str(encoded.samples),
        "X-Audio-Duration": f"{duration:.6f}",
        "X-RTF": f"{synthesis.infer_seconds / duration:.6f}",
        "X-Clipped-Samples": str(encoded.clipped),
        "Server-Timing": exchange.server_timing(),
    }
    return Response(encoded.body, headers=headers)


async def _stream(exchange: Exchange, admitted: Admitted, wanted: _Wanted, headers: dict[str, str]) -> Response:
    """Synthesize the first chunk, so that errors are reported as problems, and answer from there on."""
    service, engine, path, rate = exchange.service, exchange.engine, admitted.path, wanted.rate
    exchange.expect(admitted, chunk_bytes(engine.mel_config, rate, admitted.frames))
    samples = -(-path.samples(admitted.frames) * rate // engine.mel_config.sample_rate)
    placement, route = Placement(path, admitted.frames), exchange.http.scope["route"].path
    encoder = StreamEncoder(service, engine, wanted.format, rate, route, placement, wanted.level, wanted.origin)
    chunks = ChunkStream(engine, admitted.sampling, encoder)
    chunks.push(admitted.mel)
    chunks.finish()
    first = encoder.taken(await exchange.result(chunks.next(exchange.deadline)))
    exchange.lap("encode")
    exchange.note()
    headers |= {
        "X-Audio-Samples": str(samples),
        "X-Audio-Duration": f"{samples / rate:.6f}",
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
        "Server-Timing": exchange.server_timing(),
    }
    return StreamedAudio(exchange, chunks, encoder, first, headers)
