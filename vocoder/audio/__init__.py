"""Audio: files in and out, streams, sample rates."""

from vocoder.audio.reading import read_audio
from vocoder.audio.writing import Origin, write_audio

__all__ = ["Origin", "read_audio", "write_audio"]
