"""Decoding audio like players."""

import io

import av
import numpy as np


def decode_with_ffmpeg(body):
    """Decode an audio file with FFmpeg; return samples between -1 and 1 and their rate."""
    with av.open(io.BytesIO(body)) as file:
        stream = file.streams.audio[0]
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(stream)]
        rate = stream.rate
    samples = np.concatenate(frames)
    return (samples / 32768.0 if samples.dtype.kind == "i" else samples), rate
