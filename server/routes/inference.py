"""/v2: the Open Inference Protocol, version 2, over HTTP, with the binary tensor extension."""

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

import vocoder
from server.engine.errors import EngineState, NotReadyError
from server.limits.holdings import hold_bytes
from server.problems import INFERENCE, Problem
from server.request.exchange import Exchange, media_type, while_wanted
from server.request.mel import JSON, RAW
from server.request.options import as_parameters, refuse_query, response_fields
from server.request.tensors import HEADER_LENGTH, VERSION, parse_request, render_response
from server.routes import operations
from server.routes.openapi import INFERENCE_BODY, INFERENCE_RESPONSE, REFUSALS
from server.service import ServiceDependency
from server.stream.audio import VALUE_BYTES

JSON_BYTES = 24  # longest text of one sample

router = APIRouter(prefix=INFERENCE, tags=["Open Inference Protocol"], responses=REFUSALS)

ONE_MODEL = "/models/{name}"
ONE_VERSION = f"{ONE_MODEL}/versions/{VERSION}"
RESPONSES: dict[int | str, Any] = {200: INFERENCE_RESPONSE}


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
    told = (exchange.sampling.seed, exchange.model.mel_config.sample_rate, exchange.model.dtype, level)
    fields = as_parameters(response_fields(admitted, request.parameters, *told))
    content, json_length = await exchange.encode(
        "tensor", partial(render_response, exchange.engine.name, request, audio, fields)
    )
    hold_bytes(http, len(content))
    headers = {"Server-Timing": exchange.server_timing()}
    if json_length is None:
        return Response(content, media_type=JSON, headers=headers)
    return Response(content, media_type=RAW, headers={**headers, HEADER_LENGTH: str(json_length)})
