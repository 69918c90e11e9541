"""/v2: the Open Inference Protocol, version 2, over HTTP, with its binary tensor extension."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

import vocoder
from server.access.authentication import charge_frames
from server.engine.engine import Engine, EngineState, NotReadyError
from server.engine.job import Speech, Ticket
from server.mel.contract import MelContract
from server.mel.decoding import JSON, RAW
from server.mel.judging import MelGuard
from server.request.synthesis_request import draw_seed
from server.routes import health
from server.routes.inference_protocol import (
    HEADER_LENGTH,
    VERSION,
    InferenceRequest,
    describe_model,
    parse_request,
    render_response,
)
from server.routes.openapi import INFERENCE_BODY, INFERENCE_RESPONSE, refusal_responses
from server.service import Service, ServiceDependency
from server.telemetry.logs import note
from server.transport.body import read_body
from server.transport.departure import answer_of, deadline_of
from server.transport.stopwatch import Stopwatch
from vocoder.guard.verdict import Verdict

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
    await health.live(service)
    return {"live": True}


@router.get("/health/ready", responses=refusal_responses(503))
async def ready(service: ServiceDependency) -> dict[str, bool]:
    """Answer 200 where /readyz does."""
    await health.ready(service)
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
        raise NotReadyError(engine.name, engine.state)
    return {"name": engine.name, "ready": True}


@router.post(f"{ONE_MODEL}/infer", response_class=Response, responses=RESPONSES, openapi_extra=INFERENCE_BODY)
@router.post(f"{ONE_VERSION}/infer", response_class=Response, responses=RESPONSES, openapi_extra=INFERENCE_BODY)
async def infer(name: str, request: Request, service: ServiceDependency) -> Response:
    """Turn the tensor `mel` into the tensor `audio`."""
    engine, watch = service.engines.get(name), Stopwatch()
    engine.admit()
    charge_frames(request, 0)
    asked, verdict = await _read(request, engine, service, watch)
    ticket = _ticket(asked, deadline_of(request))
    charge_frames(request, ticket.frames)
    speech = await answer_of(request, engine.submit(ticket), service.metrics, engine.name)
    service.metrics.count_speech(engine.name, speech, ticket.frames)
    watch.add(queue=speech.queue_seconds, infer=speech.infer_seconds)
    answer = await service.run(_answer, engine.name, asked, speech, ticket.seed, verdict)
    service.metrics.count_encoding(engine.name, "tensor", watch.lap("encode"), 0)
    note(request, model=engine.name, **watch.fields())
    answer.headers["Server-Timing"] = watch.server_timing()
    return answer


async def _read(
    request: Request, engine: Engine, service: Service, watch: Stopwatch
) -> tuple[InferenceRequest, Verdict | None]:
    """Read a request whose mel fits the model's contract, and what the guard says of that."""
    settings, header_length = service.settings, request.headers.get(HEADER_LENGTH)
    limit = settings.max_json_bytes if header_length is None else settings.max_body_bytes
    body = await read_body(request, limit, settings.body_timeout)
    watch.lap("read")
    n_mels = engine.contract.mel_config.n_mels
    asked = await service.run(parse_request, body, header_length, n_mels, settings.max_json_bytes)
    guard = MelGuard(service.guard, asked.parameters.guard or settings.guard)
    verdict = await service.run(_judge, asked, engine.contract, settings.max_frames, guard)
    watch.lap("decode")
    return asked, verdict


def _judge(asked: InferenceRequest, contract: MelContract, max_frames: int, guard: MelGuard) -> Verdict | None:
    return guard.judge(guard.check(asked.mel, contract, max_frames), contract)


def _ticket(asked: InferenceRequest, deadline: float | None) -> Ticket:
    parameters = asked.parameters
    deadlines = [] if deadline is None else [deadline]
    if parameters.timeout is not None:
        deadlines.append(time.monotonic() + parameters.timeout / 1e6)
    mel = asked.mel.reshape(asked.mel.shape[-2:])
    seed = draw_seed(parameters.seed)
    return Ticket(mel, parameters.sigma, seed, parameters.denoise, deadline=min(deadlines, default=None))


def _answer(model: str, asked: InferenceRequest, speech: Speech, seed: int, verdict: Verdict | None) -> Response:
    parameters = {"sample_rate": speech.sample_rate, "seed": seed, **_told(verdict)}
    body, header_length = render_response(model, asked, speech.x, parameters)
    if header_length is None:
        return Response(body, media_type=JSON)
    return Response(body, media_type=RAW, headers={HEADER_LENGTH: str(header_length)})


def _told(verdict: Verdict | None) -> dict[str, Any]:
    """Return the parameters of an answer that tell what the guard made of the mel."""
    if verdict is None:
        return {}
    told: dict[str, Any] = {"mel_guard": verdict.cause}
    if verdict.typicality is not None:
        told["mel_guard_typicality"] = round(verdict.typicality)
    return told if verdict.typical else told | {"mel_guard_message": verdict.message}
