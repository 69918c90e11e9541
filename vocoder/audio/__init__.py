"""Audio: files in and out, streams, sample rates."""

from vocoder.audio.reading import read_audio
from vocoder.audio.writing import write_audio

__all__ = ["read_audio", "write_audio"]
