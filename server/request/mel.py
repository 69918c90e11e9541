"""Decoding the mel of a request from npy, safetensors, raw little-endian floats or JSON, and admitting it.

A body may be hostile. Each decoder reads the header first, accepts only three dtypes, compares the size in the header
with the number of bytes, and only then creates an array. Nothing is unpickled or evaluated.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import ValidationError

from server.problems import Problem, malformed_body, sentence
from server.request.options import Options, Strict, read_json
from server.settings import Settings
from vocoder.adapt.path import MelPath, path_between
from vocoder.admission import Admitted, MelTooLongError, UnlikelyMelError
from vocoder.admission import admit as admit_mel
from vocoder.guard.automatic import UnsureError
from vocoder.mel.config import MelConfig, MelConfigs
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.values import MelError
from vocoder.npy import MAGIC, NpyError, kind_of, read_header

NPY = "application/x-npy"
SAFETENSORS = "application/vnd.safetensors"
RAW = "application/octet-stream"
JSON = "application/json"
MEDIA_TYPES = (NPY, SAFETENSORS, RAW, JSON)

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "float64": np.dtype("<f8")}
SAFETENSORS_DTYPES = {"F32": DTYPES["float32"], "F16": DTYPES["float16"], "F64": DTYPES["float64"]}
NPY_DTYPES = {dtype.str: dtype for dtype in DTYPES.values()}
DTYPE_NAME = re.compile(r"[<>|=]?[A-Za-z0-9_]{1,16}")
"""names of other dtypes that are repeated to the client"""
MAX_SAFETENSORS_HEADER = 2**16
MAX_DIMENSIONS = 3


def decode_mel(body: bytes, media_type: str | None, headers: Mapping[str, str]) -> NDArray[np.float32]:
    """Decode a body of one of `MEDIA_TYPES` to 32-bit floats with one to three dimensions, none of them empty.

    The default media type is npy. Raw floats need the headers X-Mel-Shape and X-Mel-Dtype.

    Raises a Problem if the body contradicts its type or size, or has another media type or dtype.
    """
    decoders = {None: _from_npy, NPY: _from_npy, SAFETENSORS: _from_safetensors, JSON: _from_json}
    if media_type not in (RAW, *decoders):
        raise Problem("unsupported-media-type", f"Send the mel with a Content-Type of {', '.join(MEDIA_TYPES)}.")
    return as_float32(_from_raw(body, headers) if media_type == RAW else decoders[media_type](body))


def as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return an array as 32-bit floats. Values out of range become infinite, which the finiteness check reports."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32, order="C")


def _from_npy(body: bytes) -> NDArray[Any]:
    try:
        header = read_header(body)
    except NpyError as error:
        kind = "" if body.startswith(MAGIC) else kind_of(body[:9], "POST audio to /mel for its mel")
        raise malformed_body(f"{str(error).capitalize()}{f': {kind}' if kind else ''}.") from None
    return _view(memoryview(body)[header.start :], _dtype(NPY_DTYPES, header.descr), header.shape, header.order)


def _from_safetensors(body: bytes) -> NDArray[Any]:
    if int.from_bytes(body[:8], "little") > MAX_SAFETENSORS_HEADER:
        raise malformed_body("The header of the safetensors file is longer than the file, or than a mel needs.")
    try:
        tensors = dict(safetensors.deserialize(body))  # type: ignore[no-untyped-call]  # checks offsets against the length
    except safetensors.SafetensorError:
        raise malformed_body("The body is not a safetensors file.") from None
    if "mel" not in tensors:
        raise malformed_body("The safetensors file has no tensor named mel.")
    mel = tensors["mel"]
    return _view(memoryview(mel["data"]), _dtype(SAFETENSORS_DTYPES, mel["dtype"]), tuple(mel["shape"]))


def _from_raw(body: bytes, headers: Mapping[str, str]) -> NDArray[Any]:
    shape, dtype = headers.get("x-mel-shape"), headers.get("x-mel-dtype")
    if shape is None or dtype is None:
        detail = f"{RAW} needs the headers X-Mel-Shape (such as 80,512) and X-Mel-Dtype ({', '.join(DTYPES)})."
        raise Problem("unsupported-media-type", f"{detail} For an npy file, send Content-Type: {NPY}.")
    sizes = [part.strip() for part in shape.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in sizes):
        raise malformed_body("X-Mel-Shape must be whole numbers separated by commas, such as 80,512.")
    return _view(memoryview(body), _dtype(DTYPES, dtype), tuple(map(int, sizes)))


def number_array(values: Any) -> NDArray[np.float64]:
    """Return nested lists of numbers as an array, or an empty array for anything else.

    Types are checked first, because NumPy would pad every string to the longest one.
    """
    shape: list[int] = []
    while type(values) is list and set(map(type, values)) == {list} and len(shape) < MAX_DIMENSIONS:
        if len(set(map(len, values))) > 1:
            return np.empty(0)  # ragged
        shape.append(len(values))
        values = list(chain.from_iterable(values))
    if type(values) is not list or not set(map(type, values)) <= {int, float}:
        return np.empty(0)
    try:
        return np.array(values, np.float64).reshape(*shape, -1) if values else np.empty((*shape, 0))
    except OverflowError:  # beyond 64-bit floats
        return np.empty(0)


class _Document(Strict):
    mel: list[Any]


def _from_json(body: bytes) -> NDArray[Any]:
    try:
        document = read_json(_Document, body, "The body")
    except ValidationError:
        raise malformed_body('The JSON must be {"mel": [[...]]}, with options in the query.') from None
    array = number_array(document.mel)
    if not 1 <= array.ndim <= MAX_DIMENSIONS or array.size == 0:
        raise malformed_body("mel must be a list of lists of numbers, all of the same length.")
    return array


def _dtype(known: Mapping[str, np.dtype[Any]], name: str) -> np.dtype[Any]:
    if name not in known:
        found = f", not {name}" if DTYPE_NAME.fullmatch(name) else ""
        detail = f"The mel's dtype must be one of {', '.join(DTYPES)}, little-endian{found}."
        raise Problem("unsupported-dtype", detail)
    return known[name]


def _view(data: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any = "C") -> NDArray[Any]:
    """Return bytes as an array of exactly this shape, without copying."""
    if not 1 <= len(shape) <= MAX_DIMENSIONS or any(size < 1 for size in shape):
        raise malformed_body(f"The shape is {shape}, but a mel must be (n_mels, frames) with at least one frame.")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise malformed_body(f"The shape and dtype do not match the {len(data)} bytes of values.")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def admit(
    decode: Callable[[], NDArray[Any]], options: Options, target: MelConfig, settings: Settings, known: MelConfigs
) -> Admitted:
    """Decode a mel, check it, convert it to the model's own config `target`, judge it and sharpen it.

    `known` are mel configs by name. Raises a Problem if the mel is wrong, or contradicts the options.
    """
    mel, mode = decode(), options.guard or settings.guard
    source = options.source(target, known)
    mel = mel[0] if mel.ndim == 3 and mel.shape[0] == 1 else mel
    if mel.ndim != 2:
        n_mels = target.n_mels if isinstance(source, str) else source.n_mels
        detail = f"Send one mel per request, of shape ({n_mels}, frames), not an array of shape {mel.shape}."
        raise Problem("invalid-mel", detail)
    with as_problems():
        admitted = admit_mel(mel, target, source, options.adapt, mode, max_frames=settings.max_frames)
    return admitted.sharpened(options.sharpen)


def mel_path(options: Options, target: MelConfig, known: MelConfigs) -> MelPath:
    """Return the conversion from the config a mel was made with to the model's own; see `admit` for the arguments.

    Without a preset, and with `auto`, the mel is assumed to have the model's own config. Raises a Problem: unknown
    preset, invalid statistics, or no conversion that the request allows.
    """
    source = options.source(target, known)
    with as_problems():
        return path_between(target if isinstance(source, str) else source, target, options.adapt)


@contextmanager
def as_problems() -> Iterator[None]:
    """Turn errors of admission into problems."""
    try:
        yield
    except MelTooLongError as error:
        raise Problem("too-many-frames", sentence(error), limit_frames=error.limit) from None
    except MelError as error:
        raise Problem("invalid-mel", sentence(error), **error.details) from None
    except MelMismatchError as error:
        raise Problem("mel-mismatch", sentence(error), differences=list(error.differences)) from None
    except UnsureError as error:
        likeliest = [guess.as_dict() for guess in error.likeliest]
        raise Problem("unsure-preset", sentence(error), likeliest=likeliest) from None
    except UnlikelyMelError as error:
        raise Problem("unlikely-mel", sentence(error), guard=error.verdict.as_dict()) from None
