"""POST /v1/synthesize: a mel in, a waveform out, at once or as it is made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from server.audio.encoding import Format, resample_encode
from server.audio.negotiation import negotiate
from server.audio.stream_encoding import STREAM_FORMATS
from server.mel.judging import guard_headers
from server.problems import Problem
from server.request.query import SynthesisQuery
from server.request.speaking import describe, describe_stream
from server.request.synthesis_request import Order, take_order
from server.routes.openapi import MEL_BODY, SPEECH_RESPONSE, problem_responses
from server.service import Service, ServiceDependency
from server.stream.response import SpokenResponse
from server.stream.speech_stream import SpeechStream
from server.stream.voice import StreamVoice
from server.telemetry.logs import note
from server.transport.departure import answer_of
from server.transport.stopwatch import Stopwatch

__all__ = ["router"]

router = APIRouter(tags=["synthesis"])

RESPONSES = {
    200: SPEECH_RESPONSE,
    **problem_responses(400, 401, 403, 404, 406, 408, 413, 415, 422, 426, 429, 500, 503, 504, 507),
}


@router.post("/v1/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
@router.post("/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
async def synthesize(
    request: Request, query: Annotated[SynthesisQuery, Query()], service: ServiceDependency
) -> Response:
    """Turn one mel-spectrogram into one waveform."""
    if query.stream:
        return await _synthesize_stream(request, query, service)
    target, answer_type = negotiate(query.format, request.headers.get("accept"))
    watch = Stopwatch()
    order = await take_order(request, query, target, service, watch)
    engine = order.engine
    speech = await answer_of(request, engine.submit(order.ticket), service.metrics, engine.name)
    service.metrics.count_speech(engine.name, speech, order.mel.shape[1])
    watch.add(queue=speech.queue_seconds, infer=speech.infer_seconds)
    encoded = await service.run(resample_encode, target, speech.x, speech.sample_rate, order.sample_rate)
    service.metrics.count_encoding(engine.name, target.name, watch.lap("encode"), encoded.clipped)
    note(request, model=engine.name, **watch.fields())
    headers = describe(engine.name, speech, encoded, order.seed) | {"Server-Timing": watch.server_timing()}
    headers |= guard_headers(order.verdict)
    return Response(encoded.body, media_type=target.content_type(answer_type), headers=headers)


async def _synthesize_stream(request: Request, query: SynthesisQuery, service: Service) -> Response:
    if request.scope["http_version"] == "1.0":
        detail = "A stream needs HTTP/1.1: in HTTP/1.0 a connection that breaks looks like the end of the audio."
        headers = {"Upgrade": "HTTP/1.1", "Connection": "Upgrade"}
        raise Problem(426, "upgrade-required", detail, headers=headers)
    target, answer_type = negotiate(query.format, request.headers.get("accept"), STREAM_FORMATS)
    watch = Stopwatch()
    order = await take_order(request, query, target, service, watch)
    return await _begin_stream(request, order, target, answer_type, service, watch)


async def _begin_stream(
    request: Request, order: Order, target: Format, answer_type: str, service: Service, watch: Stopwatch
) -> Response:
    """Have the first chunk spoken, so that what is wrong is told as a problem, and answer from there."""
    engine, frames = order.engine, order.mel.shape[1]
    stream = SpeechStream(engine, order.sigma, order.seed, order.denoise)
    stream.push(order.mel)
    stream.finish()
    contract = engine.contract.mel_config
    samples = -(-frames * contract.hop_length * order.sample_rate // contract.sample_rate)
    voice = StreamVoice(service, engine, target, order.sample_rate, request.scope["route"].path, samples)
    chunk = await answer_of(request, stream.next(order.deadline), service.metrics, engine.name)
    watch.add(queue=chunk.queue_seconds, infer=chunk.infer_seconds)
    first = await voice.encode(chunk)
    watch.lap("encode")
    note(request, model=engine.name, **watch.fields())
    headers = describe_stream(engine.name, order.sample_rate, samples, order.seed)
    headers |= guard_headers(order.verdict)
    headers |= {"Content-Type": target.content_type(answer_type), "Server-Timing": watch.server_timing()}
    return SpokenResponse(request, service, stream, voice, first, headers)
