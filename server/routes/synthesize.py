"""POST /v1/synthesize: a mel in, a waveform out."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from server.authentication import charge_frames
from server.body import media_type, read_body
from server.decoding import JSON
from server.encoding import output_rate, resample_encode
from server.logs import note
from server.negotiation import negotiate
from server.openapi import MEL_BODY, SPEECH_RESPONSE, problem_responses
from server.presets import source_config
from server.service import ServiceDependency
from server.speaking import describe, prepare_mel
from server.stopwatch import Stopwatch
from server.synthesis_query import SynthesisQuery
from server.ticket import Ticket

__all__ = ["router"]

router = APIRouter(tags=["synthesis"])

RESPONSES = {200: SPEECH_RESPONSE, **problem_responses(400, 404, 406, 408, 413, 415, 422, 500, 503, 507)}


@router.post("/v1/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
@router.post("/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
async def synthesize(
    request: Request, query: Annotated[SynthesisQuery, Query()], service: ServiceDependency
) -> Response:
    """Turn one mel-spectrogram into one waveform."""
    target, answer_type = negotiate(query.format, request.headers.get("accept"))
    engine, settings, kind, watch = service.engines.get(query.model), service.settings, media_type(request), Stopwatch()
    engine.admit()
    charge_frames(request, 0)
    contract = engine.contract
    source = source_config(query.preset, contract.mel_config)
    rate = output_rate(target, contract.mel_config.sample_rate, query.sample_rate)
    limit = settings.max_json_bytes if kind == JSON else settings.max_body_bytes
    body = await read_body(request, limit, settings.body_timeout)
    watch.lap("read")
    mel = await service.run(prepare_mel, body, kind, request.headers, source, contract, settings.max_frames)
    watch.lap("decode")
    charge_frames(request, mel.shape[1])
    seed = secrets.randbelow(2**32) if query.seed is None else query.seed
    speech = await asyncio.wrap_future(engine.submit(Ticket(mel, query.sigma, seed, query.denoise)))
    service.metrics.count_speech(engine.name, speech, mel.shape[1])
    watch.add(queue=speech.queue_seconds, infer=speech.infer_seconds)
    encoded = await service.run(resample_encode, target, speech.x, speech.sample_rate, rate)
    service.metrics.count_encoding(engine.name, target.name, watch.lap("encode"), encoded.clipped)
    note(request, model=engine.name, **watch.fields())
    headers = describe(engine.name, speech, encoded, seed) | {"Server-Timing": watch.server_timing()}
    return Response(encoded.body, media_type=target.content_type(answer_type), headers=headers)
