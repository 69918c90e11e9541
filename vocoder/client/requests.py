"""Build what the client sends: HTTP requests and the messages of a WebSocket stream."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from reprlib import repr as short
from typing import Any, TypedDict, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from vocoder.audio.writing import write_audio
from vocoder.config import check_options
from vocoder.npy import MASKED, npy_bytes

Audio = bytes | str | PathLike[str] | NDArray[np.floating] | NDArray[np.int16]
"""content or path of a sound file, or samples"""


class SpeechOptions(TypedDict, total=False):
    """Options of a synthesis; the server chooses those that are missing or None."""

    model: str | None
    """a name from `models()`"""
    sigma: float | None
    """sampling temperature"""
    seed: int | None
    """seed of the noise"""
    denoise: float | None
    """how much of the model's own hum to remove, 0 to 1"""
    corrections: int | None
    """number of corrections towards the mel, 0 to 100; fewer are faster"""
    sharpen: float | None
    """how far to raise the contrast of the mel, 0 to 1; by default as far as the mel lacks texture"""
    preset: str | None
    """preset of the mel; `models()` lists those that each model accepts; `auto` recognises it, but not in a stream"""
    adapt: str | None
    """`off` refuses mels that only an adapter can convert"""
    mean: Sequence[float] | float | None
    variance: Sequence[float] | float | None
    """statistics of a normalised mel, per band or for all bands"""
    sample_rate: int | None
    """Hz to resample to"""
    guard: str | None
    """for a mel that looks wrong: `warn` reports it, `strict` refuses it, `off` does not check"""
    gain: float | None
    """gain of the audio in dB"""
    loudness: float | None
    """loudness of the audio in LUFS, instead of a gain; not for streams"""


KINDS: dict[Any, tuple[Any, str]] = {int: (Integral, "a whole number"), float: (Real, "a number"), str: (str, "text")}
"""type of an option -> accepted types, and their name in messages"""
Call = dict[str, Any]  # arguments of httpx for one HTTP request
MODELS: Call = {"method": "GET", "url": "v1/models"}
END = '{"end": true}'
MESSAGE_FRAMES = 256


def authorization(api_key: str | None) -> dict[str, str]:
    """Return the headers for an API key; raises a ValueError, which omits the key, if a header cannot hold it."""
    if api_key is None:
        return {}
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise ValueError("an API key must be printable ASCII without surrounding spaces")
    return {"Authorization": f"Bearer {api_key}"}


def used(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are set; raises a TypeError if one is unknown or has the wrong type."""
    check_options(options, SpeechOptions.__annotations__)
    given = {name: value for name, value in options.items() if value is not None}
    kinds = get_type_hints(SpeechOptions)
    for name, value in given.items():
        kind, *_ = get_args(kinds[name])
        known, words = KINDS.get(kind, ((Iterable, Real), "a number, or one for each band"))
        if not isinstance(value, known) or isinstance(value, bool) or isinstance(value, str) != (kind is str):
            raise TypeError(f"{name} must be {words}, not {short(value)}")
        # JSON cannot hold NumPy's numbers; lists are sent as text, in queries and messages alike.
        given[name] = kind(value) if kind in KINDS else ",".join(f"{each:.9g}" for each in np.ravel(value))
    return given


def to_array(mel: Any) -> NDArray[np.float32]:
    """Convert a mel, a tensor or array-like of floats, to 32-bit floats; raises a TypeError or a ValueError."""
    if isinstance(mel, str | PathLike):
        raise TypeError(f"a mel must be an array or a tensor: give np.load({str(mel)!r})")
    if hasattr(mel, "detach"):
        mel = mel.detach().cpu()
        mel = mel.float() if mel.is_floating_point() else mel  # NumPy has no bfloat16
    if np.ma.is_masked(mel):
        raise ValueError(MASKED)
    array = np.asarray(mel)
    if array.dtype.kind != "f":
        raise TypeError(f"a mel must hold floating-point numbers, not {array.dtype}")
    return array.astype(np.float32, copy=False)


def synthesis_call(mel: Any, options: SpeechOptions) -> Call:
    """Return the request to synthesize a whole mel (n_mels, frames); the audio is lossless."""
    body, params = npy_bytes(to_array(mel)), {**used(options), "format": "npy"}
    headers = {"Content-Type": "application/x-npy"}
    return {"method": "POST", "url": "v1/synthesize", "params": params, "content": body, "headers": headers}


def mel_call(audio: Audio, sample_rate: int | None, model: str | None, preset: str | None) -> Call:
    """Return the request for the mel of a file, or of samples (T,) and their rate; raises a ValueError or TypeError."""
    if isinstance(audio, np.ndarray) != (sample_rate is not None):
        raise ValueError("give sample_rate with samples, and leave it out for files")
    if isinstance(audio, np.ndarray):
        if audio.dtype.kind != "f" and audio.dtype != np.int16:
            raise TypeError(f"samples must be floats in -1..1, or int16, not {audio.dtype}")
        body, samples = io.BytesIO(), audio.astype(np.float32) / (1.0 if audio.dtype.kind == "f" else 32768.0)
        write_audio(body, samples, int(sample_rate or 0), format="wav_f32")
        content = body.getvalue()
    else:
        content = audio if isinstance(audio, bytes) else Path(audio).read_bytes()
    params = {name: value for name, value in {"model": model, "preset": preset}.items() if value is not None}
    headers = {"Content-Type": "application/octet-stream"}
    return {"method": "POST", "url": "v1/mel", "params": params, "content": content, "headers": headers}


def hello(options: SpeechOptions) -> str:
    """Return the first message of a stream, which requests audio as floats."""
    return json.dumps({**used(options), "format": "pcm_f32"})


def pieces_of(mel: Any) -> Any:
    """Return the pieces of a mel: itself if it is one array, or a file's name, which `to_array` refuses."""
    return [mel] if isinstance(mel, str) or hasattr(mel, "shape") else mel


def frame_messages(piece: Any, n_mels: int) -> Iterator[bytes]:
    """Yield messages of whole frames for one (n_mels,) or several (n_mels, frames); raises a ValueError for others."""
    mel = to_array(piece)
    mel = mel[:, None] if mel.ndim == 1 else mel
    if mel.ndim != 2 or mel.shape[0] != n_mels:
        hint = "; it looks transposed" if mel.ndim == 2 and mel.shape[1] == n_mels else ""
        raise ValueError(f"a piece of a mel must be ({n_mels},) or ({n_mels}, frames), not {np.shape(piece)}{hint}")
    for start in range(0, mel.shape[1], MESSAGE_FRAMES):
        yield np.ascontiguousarray(mel[:, start : start + MESSAGE_FRAMES].T, "<f4").tobytes()
