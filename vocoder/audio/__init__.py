"""Audio: files in and out, streams, sample rates."""

from vocoder.audio.file import read_audio, write_audio

__all__ = ["read_audio", "write_audio"]
