"""POST /synthesize: a mel in, a waveform out."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.body import media_type, read_body
from server.decoding import JSON
from server.encoding import FORMATS
from server.negotiation import negotiate
from server.openapi import MEL_BODY, SPEECH_RESPONSE, problem_responses
from server.presets import source_config
from server.service import ServiceDependency
from server.speaking import describe, prepare_mel
from server.stopwatch import Stopwatch
from server.ticket import Ticket

__all__ = ["router"]

router = APIRouter(tags=["synthesis"])

RESPONSES = {200: SPEECH_RESPONSE, **problem_responses(400, 404, 406, 408, 413, 415, 422, 500, 503, 507)}


class SynthesisQuery(BaseModel):
    """How to speak; everything has a default."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=256, description="a name from /models; its first by default")
    sigma: float | None = Field(
        default=None,
        ge=0.0,
        le=2.0,
        allow_inf_nan=False,
        description="sampling temperature; the model's own by default",
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="of the noise; drawn and reported if left out")
    denoise: float = Field(
        default=0.0, ge=0.0, le=1.0, allow_inf_nan=False, description="strength of the removal of the model's own hum"
    )
    preset: str | None = Field(default=None, max_length=64, description="the mel preset that the mel was made with")
    format: str | None = Field(
        default=None, max_length=64, description="; ".join(offer.name for offer in FORMATS) + "; goes before Accept"
    )


@router.post("/synthesize", response_class=Response, responses=RESPONSES, openapi_extra=MEL_BODY)
@router.post("/v1/synthesize", include_in_schema=False)
async def synthesize(
    request: Request, query: Annotated[SynthesisQuery, Query()], service: ServiceDependency
) -> Response:
    """Turn one mel-spectrogram into one waveform."""
    target, answer_type = negotiate(query.format, request.headers.get("accept"))
    engine, settings, kind, watch = service.engines.get(query.model), service.settings, media_type(request), Stopwatch()
    engine.admit()
    contract = engine.contract
    source = source_config(query.preset, contract.mel_config)
    limit = settings.max_json_bytes if kind == JSON else settings.max_body_bytes
    body = await read_body(request, limit, settings.body_timeout)
    watch.lap("read")
    mel = await service.run(prepare_mel, body, kind, request.headers, source, contract, settings.max_frames)
    watch.lap("decode")
    seed = secrets.randbelow(2**32) if query.seed is None else query.seed
    speech = await asyncio.wrap_future(engine.submit(Ticket(mel, query.sigma, seed, query.denoise)))
    service.metrics.count_speech(engine.name, speech, mel.shape[1])
    watch.add(queue=speech.queue_seconds, infer=speech.infer_seconds)
    encoded = await service.run(target.encode, speech.x, speech.sample_rate)
    service.metrics.count_encoding(engine.name, target.name, watch.lap("encode"), encoded.clipped)
    headers = describe(engine.name, speech, seed)
    headers |= {"X-Clipped-Samples": str(encoded.clipped), "Server-Timing": watch.server_timing()}
    return Response(encoded.body, media_type=answer_type, headers=headers)
