"""Format and origin of an audio file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import soundfile

from vocoder.audio.file import AudioError, failure, open_audio
from vocoder.audio.origin import Origin


@dataclass(frozen=True)
class AudioInfo:
    """Format and origin of an audio file.

    `container` and `encoding` are libsndfile's names, `program` is what wrote the file, if it says so, and `origin`
    where the audio comes from, if this package wrote it.
    """

    container: str
    encoding: str
    sample_rate: int
    channels: int
    seconds: float
    program: str | None
    origin: Origin | None


def audio_info(source: str | Path | BinaryIO) -> AudioInfo:
    """Read format and origin of an audio file, without its samples; raises as `read_audio`."""
    name = str(source) if isinstance(source, (str, Path)) else "the audio"
    if isinstance(source, (str, Path)) and not Path(source).is_file():
        raise FileNotFoundError(f"there is no audio file {name}")
    try:
        with open_audio(source) as file:
            seconds = file.frames / file.samplerate
            told = file.software or None, Origin.of_json(file.comment or "")
            return AudioInfo(file.format, file.subtype, file.samplerate, file.channels, seconds, *told)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot read {name}: {failure(error)}") from None
