"""Mels from audio files."""

import io
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import soundfile
from numpy.typing import NDArray

from server.problems import Problem, malformed_body, sentence
from vocoder.audio.reading import AudioError, AudioTooLongError, open_audio, read_audio
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of

logger = logging.getLogger(__name__)

MAX_CHANNELS = 2
MAX_SAMPLE_RATE = 192_000

SILENT_FORMATS = (b"RIFF", b"fLaC", b"OggS")  # their decoders print nothing, unlike the MP3 decoder
DECODER_LINES = (b"[src/libmpg123/", b"Note: ", b"Warning: ", b"\n")
STANDARD_ERROR = 2
ONE_AT_A_TIME = threading.Lock()


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
            raise AudioError(f"Audio may have at most {MAX_CHANNELS} channels and {MAX_SAMPLE_RATE} samples per second")
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
