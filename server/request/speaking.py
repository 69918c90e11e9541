"""What stands on both sides of a synthesis: the mel from a body, the headers from speech."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from server.audio.encoding import Encoded
from server.engine.job import Speech
from server.mel.contract import MelContract
from server.mel.decoding import decode_mel
from server.mel.judging import MelGuard
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert

__all__ = ["describe", "describe_stream", "prepare_mel"]


def prepare_mel(
    body: bytes,
    media_type: str | None,
    headers: Mapping[str, str],
    source: MelConfig,
    contract: MelContract,
    max_frames: int,
    guard: MelGuard,
) -> tuple[NDArray[np.float32], Verdict | None]:
    """Decode a mel, check it against the contract it was made with, and convert it to the model's own.

    Args:
        body: the request's body.
        media_type: of the body.
        headers: of the request.
        source: what the mel was made with; it differs from the model's contract only in what converts exactly.
        contract: the model's.
        max_frames: the longest mel to take.
        guard: judges what the contract lets pass.

    Returns:
        mel (n_mels, frames), and what the guard says of it.

    Raises:
        Problem: 400, 413, 415 or 422, whichever is wrong with it.
    """
    mel = decode_mel(body, media_type, headers)
    made_with = contract if source == contract.mel_config else MelContract.of(source)
    mel = guard.check(mel, made_with, max_frames)
    verdict = guard.judge(mel, made_with)
    return (mel if made_with is contract else convert(mel, source, contract.mel_config)), verdict


def describe(model: str, speech: Speech, encoded: Encoded, seed: int) -> dict[str, str]:
    """Return the response headers that tell what was spoken and how."""
    duration = len(speech.x) / speech.sample_rate
    return {
        "X-Model": model,
        "X-Sample-Rate": str(encoded.sample_rate),
        "X-Audio-Samples": str(encoded.samples),
        "X-Audio-Duration": f"{duration:.6f}",
        "X-RTF": f"{speech.infer_seconds / duration:.6f}",
        "X-Seed": str(seed),
        "X-Clipped-Samples": str(encoded.clipped),
    }


def describe_stream(model: str, sample_rate: int, samples: int, seed: int) -> dict[str, str]:
    """Return the response headers of a stream, of which less is known when it begins."""
    return {
        "X-Model": model,
        "X-Sample-Rate": str(sample_rate),
        "X-Audio-Samples": str(samples),
        "X-Audio-Duration": f"{samples / sample_rate:.6f}",
        "X-Seed": str(seed),
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
    }
