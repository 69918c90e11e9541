"""/v2: the Open Inference Protocol, version 2, over HTTP, with its binary tensor extension."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

import vocoder
from server.engine.errors import EngineState, NotReadyError
from server.mel.decoding import JSON, RAW
from server.request.exchange import Exchange
from server.request.synthesis_request import SynthesisRequest
from server.routes import operations
from server.routes.inference_protocol import (
    HEADER_LENGTH,
    VERSION,
    describe_model,
    parse_request,
    render_response,
)
from server.routes.openapi import INFERENCE_BODY, INFERENCE_RESPONSE, refusal_responses
from server.service import ServiceDependency

__all__ = ["router"]

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

ONE_MODEL = "/models/{name}"
ONE_VERSION = f"{ONE_MODEL}/versions/{VERSION}"
RESPONSES = {
    200: INFERENCE_RESPONSE,
    **refusal_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504, 507),
}


@router.get("")
async def describe_server() -> dict[str, Any]:
    """Say what this server is and which extensions of the protocol it has."""
    return {"name": "vocoder", "version": vocoder.__version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", responses=refusal_responses(503))
async def live(service: ServiceDependency) -> dict[str, bool]:
    """Answer 200 where /livez does."""
    await operations.live(service)
    return {"live": True}


@router.get("/health/ready", responses=refusal_responses(503))
async def ready(service: ServiceDependency) -> dict[str, bool]:
    """Answer 200 where /readyz does."""
    await operations.ready(service)
    return {"ready": True}


@router.get(ONE_MODEL, responses=refusal_responses(404, 422, 503))
@router.get(ONE_VERSION, responses=refusal_responses(404, 422, 503))
async def describe_one(name: str, service: ServiceDependency) -> dict[str, Any]:
    """Say what tensors a model takes and gives."""
    engine = service.engines.get(name)
    n_mels = engine.contract.mel_config.n_mels
    return describe_model(engine.name, str(engine.synthesizer.info()["family"]), n_mels)


@router.get(f"{ONE_MODEL}/ready", responses=refusal_responses(404, 422, 503))
@router.get(f"{ONE_VERSION}/ready", responses=refusal_responses(404, 422, 503))
async def is_ready(name: str, service: ServiceDependency) -> dict[str, Any]:
    """Answer 200 once a model is loaded and has run for real."""
    engine = service.engines.get(name)
    if engine.state is not EngineState.READY:
        raise NotReadyError(engine.state)
    return {"name": engine.name, "ready": True}


@router.post(f"{ONE_MODEL}/infer", response_class=Response, responses=RESPONSES, openapi_extra=INFERENCE_BODY)
@router.post(f"{ONE_VERSION}/infer", response_class=Response, responses=RESPONSES, openapi_extra=INFERENCE_BODY)
async def infer(name: str, http: Request, service: ServiceDependency) -> Response:
    """Turn the tensor `mel` into the tensor `audio`."""
    exchange, settings = Exchange(http, service, name), service.settings
    engine, length = exchange.engine, http.headers.get(HEADER_LENGTH)
    mel_config = engine.contract.mel_config
    body = await exchange.read(settings.max_json_bytes if length is None else settings.max_body_bytes)
    asked = await service.run(parse_request, body, length, mel_config.n_mels, settings.max_json_bytes)
    request = await exchange.decode(lambda: (asked.mel, asked.parameters))
    if asked.parameters.timeout is not None:
        request = request.within(asked.parameters.timeout / 1e6)
    synthesis = await exchange.synthesize(request)
    told = {"sample_rate": synthesis.sample_rate, "seed": request.seed, **_told(request)}
    content, json_length = await exchange.encode(
        "tensor", partial(render_response, engine.name, asked, synthesis.x, told)
    )
    headers = {"Server-Timing": exchange.watch.server_timing()}
    if json_length is None:
        return Response(content, media_type=JSON, headers=headers)
    return Response(content, media_type=RAW, headers={**headers, HEADER_LENGTH: str(json_length)})


def _told(request: SynthesisRequest) -> dict[str, Any]:
    """Return the parameters of an answer that tell what was done to the mel, and what the guard made of it."""
    path, verdict = request.path, request.verdict
    told: dict[str, Any] = {} if path is None or path.own else {"mel_preset": path.source.name}
    if request.recognised is not None:
        told["mel_recognised"] = request.recognised
    if path is not None and path.adapted is not None:
        told["mel_adapted"] = path.adapted
    if verdict is None:
        return told
    told["mel_guard"] = verdict.cause
    if verdict.typicality is not None:
        told["mel_guard_typicality"] = round(verdict.typicality)
    return told if verdict.typical else told | {"mel_guard_message": verdict.message}
