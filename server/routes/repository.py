"""/v2/repository on the admin port: models are loaded and unloaded while the server runs.

It is the model repository extension of the Open Inference Protocol.
"""

from __future__ import annotations

from fastapi import APIRouter

from server.addresses import INFERENCE
from server.engine.engines import LoadError
from server.engine.errors import EngineState
from server.problems import Problem
from server.request.tensors import VERSION
from server.routes.openapi import refusal_responses
from server.service import ServiceDependency

router = APIRouter(prefix=f"{INFERENCE}/repository", tags=["Open Inference Protocol"])

MODEL = "/models/{name:path}"
AVAILABLE = {EngineState.READY: "READY", EngineState.LOADING: "LOADING"}


@router.post("/index")
async def list_models(service: ServiceDependency) -> list[dict[str, str]]:
    """List all models, those that are unloaded as well, with the reason why one is not available."""
    return [
        {
            "name": engine.name,
            "version": VERSION,
            "state": AVAILABLE.get(engine.state, "UNAVAILABLE"),
            "reason": "" if engine.state is EngineState.READY else engine.state,
        }
        for engine in service.engines
    ]


@router.post(f"{MODEL}/load", responses=refusal_responses(422))
async def load(name: str, service: ServiceDependency) -> dict[str, str]:
    """Load a model again, or a further one by its shipped name or directory; answer when it is ready."""
    try:
        await service.engines.load(name)
    except LoadError as error:
        raise Problem("unloadable-model", f"{error}.") from error
    return {}


@router.post(f"{MODEL}/unload", responses=refusal_responses(404, 422, 503))
async def unload(name: str, service: ServiceDependency) -> dict[str, str]:
    """Take a model out of service and free its memory. Its waiting requests are refused, and its streams end."""
    await service.engines.unload(name)
    return {}
