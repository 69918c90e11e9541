"""Read, write and resample audio."""

from vocoder.audio.reading import read_audio
from vocoder.audio.writing import Origin, write_audio

__all__ = ["Origin", "read_audio", "write_audio"]
