"""POST /v1/mel: an audio file in, a mel out."""

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.audio.extraction import extract
from server.engine.jobs import Job, at_once
from server.limits.holdings import hold_bytes
from server.problems import Problem
from server.request.exchange import deadline_of, media_type, read_body, while_wanted
from server.request.mel import NPY
from server.request.options import ModelName, known_config, printable, read_query
from server.routes.openapi import AUDIO_BODY, MEL_RESPONSE, PROBLEMS, query_of
from server.service import ServiceDependency
from vocoder.npy import npy_bytes

router = APIRouter(tags=["mel"], responses=PROBLEMS, default_response_class=Response)

OTHER_AUDIO_TYPES = ("application/octet-stream", "application/ogg")


class MelQuery(BaseModel):
    """The query of /v1/mel: the mel config to use."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None
    preset: str | None = Field(default=None, max_length=64, description="mel preset, instead of the model's own config")


@router.post("/v1/mel", responses={200: MEL_RESPONSE}, openapi_extra=query_of(MelQuery) | AUDIO_BODY)
@router.post("/mel", include_in_schema=False)
async def extract_mel(request: Request, service: ServiceDependency) -> Response:
    """Compute the mel-spectrogram of an audio file."""
    query = read_query(MelQuery, request.query_params)
    kind = media_type(request)
    if kind is not None and not kind.startswith("audio/") and kind not in OTHER_AUDIO_TYPES:
        detail = "Send an audio file with Content-Type audio/wav, audio/flac, audio/ogg or audio/mpeg."
        raise Problem("unsupported-media-type", detail)
    engine = service.engines.get(query.model)  # an unknown model is an error even with a preset
    config = engine.model.mel_config if query.preset is None else known_config(query.preset, service.mel_configs)
    deadline = deadline_of(request)
    service.mels.check_room()
    body = await read_body(request, service.settings.max_body_bytes, service.settings.body_timeout, deadline)
    job = service.mels.submit(Job(1, parts=at_once(extract, body, config, service.settings.max_audio_seconds)))
    mel = await while_wanted(request, asyncio.wrap_future(job), deadline)
    hold_bytes(request, mel.nbytes)
    headers = {"X-Mel-Config": printable(config.name), "X-Sample-Rate": str(config.sample_rate)}
    headers["X-Mel-Shape"] = ",".join(map(str, mel.shape))
    return Response(npy_bytes(mel), media_type=NPY, headers=headers)
