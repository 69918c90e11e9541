"""The messages of the Open Inference Protocol, version 2, with its binary tensor extension.

A request is JSON that lists tensors. Their values are in the JSON, or follow it as little-endian bytes. Every model has
one input, `mel`, and one output, `audio`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FailFast, Field, PositiveInt, StrictInt, ValidationError

from server.problems import Problem, described, malformed_body
from server.request.mel import DTYPES, MAX_DIMENSIONS, as_float32, number_array
from server.request.options import InferenceParameters
from server.request.reading import Strict, read_json

HEADER_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"  # the only version of every model
NUMBERS = 4096  # numbers written to JSON at a time, which takes some milliseconds


class _InputParameters(Strict):
    binary_data_size: StrictInt | None = None


class _Tensor(Strict):
    name: Literal["mel"]
    datatype: Literal["FP32", "FP16", "FP64"]
    shape: Annotated[list[PositiveInt], FailFast()] = Field(min_length=1, max_length=MAX_DIMENSIONS)
    parameters: _InputParameters = Field(default_factory=_InputParameters)
    data: list[Any] | None = None


class _OutputParameters(Strict):
    binary_data: bool | None = None


class _Wanted(Strict):
    name: Literal["audio"]
    parameters: _OutputParameters = Field(default_factory=_OutputParameters)


class InferenceRequest(Strict):
    """The JSON of a request; the response repeats the client's `id`."""

    id: str | None = Field(default=None, max_length=256)
    parameters: InferenceParameters = Field(default_factory=InferenceParameters)
    inputs: Annotated[list[_Tensor], FailFast()] = Field(min_length=1, max_length=1)
    outputs: Annotated[list[_Wanted], FailFast()] = Field(default_factory=list, max_length=1)

    @property
    def binary(self) -> bool:
        """Whether the audio is sent as bytes after the JSON."""
        said = [wanted.parameters.binary_data for wanted in self.outputs]
        return self.parameters.binary_data_output if said in ([], [None]) else said == [True]


def parse_request(
    body: bytes, header_length: str | None, max_json_bytes: int
) -> tuple[InferenceRequest, NDArray[np.float32]]:
    """Read an inference request, and its mel as 32-bit floats of any shape. Without header_length all of it is JSON.

    Raises a Problem: 400 malformed, 413 too much JSON.
    """
    if header_length is None:
        length = len(body)
    elif header_length.isascii() and header_length.isdecimal() and len(header_length) <= 10:
        length = int(header_length)
    else:
        raise malformed_body(f"{HEADER_LENGTH} must be a number of bytes.")
    if length > len(body):
        raise malformed_body(f"{HEADER_LENGTH} is larger than the body.")
    if length > max_json_bytes:
        detail = f"The JSON is larger than the limit of {max_json_bytes} bytes: send the mel as bytes."
        raise Problem("body-too-large", detail, limit_bytes=max_json_bytes)
    name = "The body" if header_length is None else f"The JSON, the first {length} bytes of the body,"
    try:
        request = read_json(InferenceRequest, body[:length], name)
    except ValidationError as error:
        raise malformed_body(_describe(error)) from None
    mel = _read_input(request.inputs[0], memoryview(body)[length:])
    request.inputs[0].data = None  # it takes ten times the memory of the array
    return request, mel


def render_response(
    model: str, request: InferenceRequest, audio: NDArray[np.float32], parameters: Mapping[str, Any]
) -> tuple[bytes, int | None]:
    """Return the body of a response and the length of its JSON, or None if all of it is JSON.

    Audio (T,) is sent as (1, T) if the mel came as (1, n_mels, frames).
    """
    audio = np.ascontiguousarray(audio, "<f4")
    audio = audio[None] if len(request.inputs[0].shape) == MAX_DIMENSIONS else audio
    tensor: dict[str, Any] = {"name": "audio", "datatype": "FP32", "shape": list(audio.shape)}
    if request.binary:
        tensor["parameters"] = {"binary_data_size": audio.nbytes}
    else:
        tensor["data"] = []  # must be the last member
    document: dict[str, Any] = {"model_name": model, "model_version": VERSION}
    document |= {} if request.id is None else {"id": request.id}
    document |= {"parameters": dict(parameters), "outputs": [tensor]}
    header = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    if request.binary:
        return header + audio.tobytes(), len(header)
    end = len(header) - len("]}]}")
    return b"".join([header[:end], *_numbers(audio.ravel()), header[end:]]), None


def _numbers(x: NDArray[np.float32]) -> Iterator[bytes]:
    """Yield x as JSON without brackets, in short pieces, because the event loop waits while json encodes each."""
    for start in range(0, len(x), NUMBERS):
        text = json.dumps(x[start : start + NUMBERS].tolist(), allow_nan=False, separators=(",", ":"))[1:-1]
        yield f"{',' if start else ''}{text}".encode()


def _read_input(tensor: _Tensor, binary: memoryview) -> NDArray[np.float32]:
    dtype, size = DTYPES[tensor.datatype.replace("FP", "float")], math.prod(tensor.shape)
    given = tensor.parameters.binary_data_size
    if (tensor.data is None) == (given is None):
        raise malformed_body("The input must have either data or the parameter binary_data_size.")
    if tensor.data is None:
        if given != len(binary) or size * dtype.itemsize != given:
            detail = f"{len(binary)} bytes follow the JSON: binary_data_size and shape must match that."
            raise malformed_body(detail)
        return as_float32(np.frombuffer(binary, dtype)).reshape(tensor.shape)
    if len(binary):
        raise malformed_body("Bytes follow the JSON, although the input has its data in the JSON.")
    array = number_array(tensor.data)
    if array.size == 0:
        raise malformed_body("data must be a list of numbers, or nested lists of equal length.")
    if array.shape not in ((size,), tuple(tensor.shape)):
        detail = f"data has the shape {list(array.shape)}: it must have the input's shape, or be {size} flat numbers."
        raise malformed_body(detail)
    return as_float32(array).reshape(tensor.shape)


def _describe(error: ValidationError) -> str:
    """Return pydantic's first error, without client data except the name of an unknown parameter."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "extra_forbidden" and first["loc"][0] != "parameters":
        return "The request has an unknown member; put options into its own parameters."
    found = described(first, "request", InferenceParameters.model_fields)
    return f"{found['parameter']}: {found['message']}."
