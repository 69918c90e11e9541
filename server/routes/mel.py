"""POST /v1/mel: audio in, the mel that a model expects out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.audio.encoding import npy_bytes
from server.mel.decoding import NPY
from server.mel.path import known_contract
from server.problems import Problem
from server.routes.openapi import AUDIO_BODY, MEL_RESPONSE, problem_responses
from server.service import ServiceDependency
from server.transport.body import media_type, read_body

__all__ = ["router"]

router = APIRouter(tags=["mel"])

RESPONSES = {200: MEL_RESPONSE, **problem_responses(400, 404, 408, 413, 415, 422, 500, 503)}

OTHER_AUDIO_TYPES = ("application/octet-stream", "application/ogg")


class MelQuery(BaseModel):
    """Whose mel to make: that of a model, or a named preset."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=256, description="a name from /v1/models; its first by default")
    preset: str | None = Field(default=None, max_length=64, description="a mel preset, instead of a model's own mel")


@router.post("/v1/mel", response_class=Response, responses=RESPONSES, openapi_extra=AUDIO_BODY)
@router.post("/mel", include_in_schema=False, response_class=Response)
async def extract_mel(request: Request, query: Annotated[MelQuery, Query()], service: ServiceDependency) -> Response:
    """Extract the mel-spectrogram of an audio file."""
    _check_media_type(media_type(request))
    engine = service.engines.get(query.model)  # a model that there is not is an error beside a preset, too
    mel_config = engine.contract.mel_config if query.preset is None else known_contract(query.preset, service.contracts)
    body = await read_body(request, service.settings.max_body_bytes, service.settings.body_timeout)
    mel = await service.run(service.extractor.extract, body, mel_config)
    headers = {
        "X-Mel-Config": mel_config.name,
        "X-Mel-Shape": f"{mel.shape[0]},{mel.shape[1]}",
        "X-Sample-Rate": str(mel_config.sample_rate),
    }
    return Response(npy_bytes(mel), media_type=NPY, headers=headers)


def _check_media_type(kind: str | None) -> None:
    if kind is not None and not kind.startswith("audio/") and kind not in OTHER_AUDIO_TYPES:
        detail = "Send an audio file with Content-Type audio/wav, audio/flac, audio/ogg or audio/mpeg."
        raise Problem(415, "unsupported-media-type", detail)
