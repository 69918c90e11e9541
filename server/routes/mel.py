"""POST /v1/mel: an audio file in, a mel out."""

import asyncio
import io
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import soundfile
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from server.engine.jobs import Job, at_once
from server.limits.gate import hold_bytes
from server.problems import Problem, malformed_body, sentence
from server.request.exchange import deadline_of, media_type, read_body, while_wanted
from server.request.mel import NPY
from server.request.options import ModelName, known_config, printable, read_query
from server.routes.openapi import AUDIO_BODY, MEL_RESPONSE, PROBLEMS, query_of
from server.service import ServiceDependency
from server.telemetry.logs import STANDARD_ERROR
from vocoder.audio.reading import AudioError, AudioTooLongError, open_audio, read_audio
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of
from vocoder.npy import npy_bytes

logger = logging.getLogger(__name__)
router = APIRouter(tags=["mel"], responses=PROBLEMS, default_response_class=Response)

OTHER_AUDIO_TYPES = ("application/octet-stream", "application/ogg")
MAX_CHANNELS = 2
MAX_SAMPLE_RATE = 192_000

SILENT_FORMATS = (b"RIFF", b"fLaC", b"OggS")  # their decoders print nothing, unlike the MP3 decoder
DECODER_LINES = (b"[src/libmpg123/", b"Note: ", b"Warning: ", b"\n")
ONE_AT_A_TIME = threading.Lock()


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


def extract(body: bytes, mel_config: MelConfig, max_seconds: float) -> NDArray[np.float32]:
    """Return the mel (n_mels, frames) of a wav, flac, ogg or mp3 file.

    Raises a Problem if it is not audio, is longer than `max_seconds`, or is too short for a mel.
    """
    try:
        return mel_of(resample(*_read(body, max_seconds), mel_config.sample_rate), mel_config)
    except AudioTooLongError:
        detail = f"The audio is longer than the limit of {max_seconds:g} seconds."
        raise Problem("audio-too-long", detail, limit_seconds=max_seconds) from None
    except ValueError as error:
        raise Problem("invalid-audio", sentence(error)) from None


def _read(body: bytes, max_seconds: float) -> tuple[NDArray[np.float32], int]:
    """Read audio, unless its header says that this is expensive."""
    file = io.BytesIO(body)
    with nullcontext() if body.startswith(SILENT_FORMATS) else _without_decoder_lines():
        try:
            with open_audio(file) as header:
                channels, sample_rate = header.channels, header.samplerate
        except soundfile.SoundFileError:
            detail = "The body is not audio that this server can read: send wav, flac, ogg or mp3."
            raise malformed_body(detail) from None
        if channels > MAX_CHANNELS or not 0 < sample_rate <= MAX_SAMPLE_RATE:
            limits = f"at most {MAX_CHANNELS} channels and {MAX_SAMPLE_RATE} Hz"
            raise AudioError(f"Audio may have {limits}; this has {channels} and {sample_rate}")
        return read_audio(file, max_seconds=max_seconds)


@contextmanager
def _without_decoder_lines() -> Iterator[None]:
    """Keep libmpg123's messages out of standard error, which holds the log. Other output is logged as a warning."""
    with ONE_AT_A_TIME, tempfile.TemporaryFile() as caught:
        before = os.dup(STANDARD_ERROR)
        os.dup2(caught.fileno(), STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(before, STANDARD_ERROR)
            os.close(before)
            caught.seek(0)
            if rest := [line.decode(errors="replace") for line in caught if not line.startswith(DECODER_LINES)]:
                logger.warning("an audio decoder printed: %s", "".join(rest).rstrip())
