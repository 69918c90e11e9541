"""/v2: the Open Inference Protocol, version 2, over HTTP, with its binary tensor and model repository extensions.

A request for inference is JSON that lists tensors. Their values are in the JSON, or follow it as little-endian bytes.
Every model has one input, `mel`, and one output, `audio`. /v2/repository loads and unloads models, on the admin port.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import FailFast, Field, StrictInt, ValidationError

import vocoder
from server.audio.formats import Encoded
from server.engine.engine import EngineState, NotReadyError
from server.problems import INFERENCE, Problem, described, invalid_parameter, malformed_body
from server.request.exchange import Exchange, media_type, while_wanted
from server.request.mel import DTYPES, JSON, MAX_DIMENSIONS, RAW, as_float32, number_array
from server.request.options import InferenceParameters, Strict, read_json, refuse_query
from server.routes import operations
from server.routes.openapi import INFERENCE_BODY, INFERENCE_RESPONSE, REFUSALS
from server.service import LoadError, ServiceDependency
from server.stream.audio import VALUE_BYTES

HEADER_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"  # the only version of every model
NUMBERS = 4096  # numbers written to JSON at a time, which takes some milliseconds
JSON_BYTES = 24  # longest text of one sample
ONE_MODEL = "/models/{name}"
ONE_VERSION = f"{ONE_MODEL}/versions/{VERSION}"
REPOSITORY_MODEL = "/models/{name:path}"
REPOSITORY_STATES = {EngineState.READY: "READY", EngineState.LOADING: "LOADING"}
RESPONSES: dict[int | str, Any] = {200: INFERENCE_RESPONSE}

router = APIRouter(prefix=INFERENCE, tags=["Open Inference Protocol"], responses=REFUSALS)
repository_router = APIRouter(prefix=f"{INFERENCE}/repository", tags=["Open Inference Protocol"], responses=REFUSALS)


class _InputParameters(Strict):
    binary_data_size: StrictInt | None = None


Size = Annotated[int, Field(gt=0, lt=2**31)]


class _Tensor(Strict):
    name: Literal["mel"]
    datatype: Literal["FP32", "FP16", "FP64"]
    shape: Annotated[list[Size], FailFast()] = Field(min_length=1, max_length=MAX_DIMENSIONS)
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


@router.get("")
async def describe_server() -> dict[str, Any]:
    """Describe this server and the protocol extensions that it supports."""
    return {"name": "vocoder", "version": vocoder.__version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
async def live(service: ServiceDependency) -> dict[str, bool]:
    """Answer 200 if /livez does."""
    await operations.live(service)
    return {"live": True}


@router.get("/health/ready")
async def ready(service: ServiceDependency) -> dict[str, bool]:
    """Answer 200 if /readyz does."""
    await operations.ready(service)
    return {"ready": True}


@router.get(ONE_MODEL)
@router.get(ONE_VERSION)
async def describe_one(name: str, service: ServiceDependency) -> dict[str, Any]:
    """Describe the tensors of a model."""
    engine = service.engines.get(name)
    return {
        "name": engine.name,
        "versions": [VERSION],
        "platform": f"vocoder_{engine.model.info['family']}",
        "inputs": [{"name": "mel", "datatype": "FP32", "shape": [engine.model.mel_config.n_mels, -1]}],
        "outputs": [{"name": "audio", "datatype": "FP32", "shape": [-1]}],
    }


@router.get(f"{ONE_MODEL}/ready")
@router.get(f"{ONE_VERSION}/ready")
async def is_ready(name: str, service: ServiceDependency) -> dict[str, Any]:
    """Answer 200 once a model is loaded and warmed up."""
    engine = service.engines.get(name)
    if engine.state is not EngineState.READY:
        raise NotReadyError(engine.state)
    return {"name": engine.name, "ready": True}


@router.post(f"{ONE_MODEL}/infer", response_class=Response, responses=RESPONSES, openapi_extra=INFERENCE_BODY)
@router.post(f"{ONE_VERSION}/infer", response_class=Response, responses=RESPONSES, openapi_extra=INFERENCE_BODY)
async def infer(name: str, http: Request, service: ServiceDependency) -> Response:
    """Turn the tensor `mel` into the tensor `audio`."""
    if media_type(http) not in (JSON, RAW, None):  # browsers let other sites' pages send text/plain without preflight
        raise Problem("unsupported-media-type", f"Send the request with Content-Type: {JSON} or {RAW}.")
    refuse_query(http.query_params, "the parameters of the body")
    exchange, settings, length = Exchange(http, service, name), service.settings, http.headers.get(HEADER_LENGTH)
    body = await exchange.read(settings.max_json_bytes if length is None else settings.max_body_bytes)
    parsing = service.run(parse_request, body, length, settings.max_json_bytes, new=True)
    request, mel = await while_wanted(http, parsing, exchange.deadline)
    level = request.parameters.level()
    if request.parameters.timeout is not None:
        exchange.deadline = min(exchange.deadline, time.monotonic() + request.parameters.timeout / 1e6)
    admitted = await exchange.admit(lambda: mel, request.parameters)
    samples, binary = admitted.path.samples(admitted.frames), request.binary
    exchange.expect(admitted, samples * (VALUE_BYTES + (VALUE_BYTES if binary else JSON_BYTES)))
    audio, level = await exchange.synthesize(admitted, level)
    fields = exchange.fields(admitted, request.parameters, exchange.model.mel_config.sample_rate, level)
    named = {name.removeprefix("X-").lower().replace("-", "_"): value for name, value in fields.items()}
    rendering = partial(render_response, exchange.engine.name, request, audio, named)
    encoded = await exchange.encode("tensor", rendering)
    headers = {"Server-Timing": exchange.server_timing()}
    if binary:
        headers[HEADER_LENGTH] = str(len(encoded.body) - VALUE_BYTES * encoded.samples)
    return Response(encoded.body, media_type=RAW if binary else JSON, headers=headers)


@repository_router.post("/index")
async def list_models(service: ServiceDependency) -> list[dict[str, str]]:
    """List all models, including unloaded ones, with the reason why one is unavailable."""
    return [
        {
            "name": engine.name,
            "version": VERSION,
            "state": REPOSITORY_STATES.get(engine.state, "UNAVAILABLE"),
            "reason": "" if engine.state is EngineState.READY else engine.failure or engine.state,
        }
        for engine in service.engines
    ]


class _Load(Strict):
    parameters: dict[str, None] = Field(default_factory=dict, max_length=0)


@repository_router.post(f"{REPOSITORY_MODEL}/load")
async def load(name: str, http: Request, service: ServiceDependency) -> dict[str, str]:
    """Reload a model, or add one by its shipped name or directory; answer when it is ready."""
    if await http.body():
        try:
            read_json(_Load, await http.body(), "The body")
        except ValidationError:
            raise invalid_parameter("parameters", "must be empty; a model is configured by its files alone") from None
    try:
        await service.engines.load(name)
    except (LoadError, ValueError) as error:  # ValueError: a name with a NUL
        raise Problem("unloadable-model", f"{error}.") from error
    return {}


@repository_router.post(f"{REPOSITORY_MODEL}/unload")
async def unload(name: str, service: ServiceDependency) -> dict[str, str]:
    """Take a model out of service and free its memory. Waiting requests are refused and streams end."""
    await service.engines.unload(name)
    return {}


def parse_request(
    body: bytes, header_length: str | None, max_json_bytes: int
) -> tuple[InferenceRequest, NDArray[np.float32]]:
    """Read an inference request, and its mel as 32-bit floats of any shape. Without header_length all of it is JSON.

    Raises a Problem: 400 malformed, 413 too much JSON.
    """
    given = str(len(body)) if header_length is None else header_length
    if not (given.isascii() and given.isdecimal() and len(given) <= 10):
        raise malformed_body(f"{HEADER_LENGTH} must be a number of bytes.")
    if (length := int(given)) > len(body):
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
) -> Encoded:
    """Return a response as JSON, followed by the bytes of the audio if the request is `binary`.

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
        return Encoded(header + audio.tobytes(), 0, audio.size)
    end = len(header) - len("]}]}")
    return Encoded(b"".join([header[:end], *_numbers(audio.ravel()), header[end:]]), 0, audio.size)


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
