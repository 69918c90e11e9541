"""What an engine can raise, told as problems."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from server.engine.job import SynthesisError
from server.engine.state import EngineState, NotReadyError
from server.engine.work_queue import DeadlineError, QueueFullError
from server.problems import Problem, render

__all__ = ["ENGINE_ERRORS", "engine_problem", "install_engine_handlers"]

ENGINE_ERRORS = (NotReadyError, QueueFullError, DeadlineError, SynthesisError)


def install_engine_handlers(app: FastAPI) -> None:
    """Let routes raise the engine's own errors."""
    for error in ENGINE_ERRORS:
        app.add_exception_handler(error, _on_engine_error)


def engine_problem(error: Exception) -> Problem:
    """Return one of `ENGINE_ERRORS` as a problem."""
    if isinstance(error, NotReadyError):
        return _not_ready(error.state)
    if isinstance(error, QueueFullError):
        headers = {"Retry-After": str(error.retry_after)}
        return Problem(503, "queue-full", "As many requests wait as may; try again later.", headers=headers)
    if isinstance(error, DeadlineError):
        return Problem(504, "deadline-exceeded", "The time that the request gave passed without audio.")
    assert isinstance(error, SynthesisError)
    if error.out_of_memory:
        return Problem(507, "out-of-memory", "The device ran out of memory: send a shorter mel.")
    return Problem(500, "synthesis-failed", f"There is no audio: {error}.")


def _not_ready(state: EngineState) -> Problem:
    if state is EngineState.LOADING:
        return Problem(503, "warming", "The model is still loading.", headers={"Retry-After": "5"})
    if state is EngineState.FAILED:
        return Problem(503, "model-failed", "The model could not be loaded, or its device is lost; see the log.")
    return Problem(503, "stopping", "The server is shutting down.", headers={"Connection": "close"})


async def _on_engine_error(request: Request, error: Exception) -> Response:
    return render(request, engine_problem(error))
