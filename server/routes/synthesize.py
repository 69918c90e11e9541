"""POST /v1/synthesize and WebSocket /v1/stream: a mel in, a waveform out, at once or as it is made."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, WebSocket

from server.audio.encoding import FORMATS, Format, negotiate, output_rate, resample_encode
from server.audio.stream_encoding import STREAM_FORMATS
from server.mel.decoding import JSON, decode_mel
from server.mel.judging import guard_headers
from server.mel.path import path_headers
from server.problems import Problem
from server.request.exchange import Exchange
from server.request.synthesis_request import SynthesisQuery, SynthesisRequest
from server.routes.openapi import AUDIO_RESPONSE, MEL_BODY, problem_responses
from server.service import ServiceDependency
from server.stream.encoder import StreamEncoder
from server.stream.response import StreamedAudio
from server.stream.session import WebSocketSession
from server.stream.synthesis_stream import SynthesisStream
from server.transport.body import media_type
from vocoder.adapt.path import MelPath
from vocoder.adapt.placing import Placing
from vocoder.audio.origin import Origin

__all__ = ["router"]

router = APIRouter(tags=["synthesis"])

RESPONSES = {
    200: AUDIO_RESPONSE,
    **problem_responses(400, 401, 403, 404, 406, 408, 413, 415, 422, 426, 429, 500, 503, 504, 507),
}


@router.post("/v1/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
@router.post("/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
async def synthesize(http: Request, query: Annotated[SynthesisQuery, Query()], service: ServiceDependency) -> Response:
    """Turn one mel-spectrogram into one waveform."""
    if query.stream and http.scope["http_version"] == "1.0":
        detail = "A stream needs HTTP/1.1: in HTTP/1.0 a connection that breaks looks like the end of the audio."
        raise Problem(426, "upgrade-required", detail, headers={"Upgrade": "HTTP/1.1", "Connection": "Upgrade"})
    offers = STREAM_FORMATS if query.stream else FORMATS
    target, answer_type = negotiate(query.format, http.headers.get("accept"), offers)
    exchange = Exchange(http, service, query.model)
    rate = output_rate(target, exchange.engine.contract.mel_config.sample_rate, query.sample_rate)
    request = await _read(exchange, query)
    headers = {
        "Content-Type": target.content_type(answer_type),
        "X-Model": exchange.engine.name,
        "X-Sample-Rate": str(rate),
        "X-Seed": str(request.seed),
        **_told_headers(request),
    }
    origin = service.origin(exchange.engine.name, request.seed)
    if origin is not None:
        headers["X-Audio-Origin"] = origin.to_json()
    answer = _stream if query.stream else _answer
    return await answer(exchange, request, target, rate, headers, origin)


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket, service: ServiceDependency) -> None:
    """Synthesize one mel while it is being made."""
    await WebSocketSession(websocket, service).run()


@router.get("/v1/stream", include_in_schema=False)
async def refuse_plain_request() -> None:
    """Tell who asks without an upgrade what would be right."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise Problem(426, "upgrade-required", "This address is a WebSocket: dial it as ws:// or wss://.", headers=headers)


async def _read(exchange: Exchange, query: SynthesisQuery) -> SynthesisRequest:
    """Read, decode and check the mel, which may come in each of `MEDIA_TYPES`."""
    settings, kind, headers = exchange.service.settings, media_type(exchange.http), exchange.http.headers
    exchange.path(query)  # what is wrong with it is told before the body is read
    body = await exchange.read(settings.max_json_bytes if kind == JSON else settings.max_body_bytes)
    return await exchange.decode(lambda: (decode_mel(body, kind, headers), query))


def _told_headers(request: SynthesisRequest) -> dict[str, str]:
    """Return the headers that tell what was done to a mel, and what the guard made of it."""
    recognised = {} if request.recognised is None else {"X-Mel-Recognised": request.recognised}
    path = {} if request.path is None else path_headers(request.path)
    return {**recognised, **path, **guard_headers(request.verdict)}


async def _answer(
    exchange: Exchange,
    request: SynthesisRequest,
    target: Format,
    rate: int,
    headers: dict[str, str],
    origin: Origin | None,
) -> Response:
    synthesis = await exchange.synthesize(request)
    encode = partial(resample_encode, target, synthesis.x, synthesis.sample_rate, rate, origin)
    encoded = await exchange.encode(target.name, encode, lambda encoded: encoded.clipped)
    duration = len(synthesis.x) / synthesis.sample_rate
    headers |= {
        "X-Audio-Samples": str(encoded.samples),
        "X-Audio-Duration": f"{duration:.6f}",
        "X-RTF": f"{synthesis.infer_seconds / duration:.6f}",
        "X-Clipped-Samples": str(encoded.clipped),
        "Server-Timing": exchange.watch.server_timing(),
    }
    return Response(encoded.body, headers=headers)


async def _stream(
    exchange: Exchange,
    request: SynthesisRequest,
    target: Format,
    rate: int,
    headers: dict[str, str],
    origin: Origin | None,
) -> Response:
    """Have the first chunk synthesized, so that what is wrong is told as a problem, and answer from there."""
    service, engine, config = exchange.service, exchange.engine, exchange.engine.contract.mel_config
    stream = SynthesisStream(engine, request.sigma, request.seed, request.denoise, request.corrections)
    stream.push(request.mel)
    stream.finish()
    own = request.frames * config.hop_length if request.samples is None else request.samples
    samples = -(-own * rate // config.sample_rate)
    path = request.path or MelPath(config, config)
    placing = Placing(path, request.given_frames)
    encoder = StreamEncoder(service, engine, target, rate, exchange.http.scope["route"].path, placing, samples, origin)
    first = await encoder.encode(await exchange.result(stream.next(request.deadline)))
    exchange.watch.lap("encode")
    exchange.note()
    headers |= {
        "X-Audio-Samples": str(samples),
        "X-Audio-Duration": f"{samples / rate:.6f}",
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
        "Server-Timing": exchange.watch.server_timing(),
    }
    return StreamedAudio(exchange.http, service, stream, encoder, first, headers)
