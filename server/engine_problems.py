"""What an engine can raise, told as problems."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from server.engine_state import EngineState, NotReadyError
from server.problems import Problem, render
from server.ticket import SynthesisError
from server.work_queue import DeadlineError, QueueFullError

__all__ = ["install_engine_handlers"]


def install_engine_handlers(app: FastAPI) -> None:
    """Let routes raise the engine's own errors."""
    app.add_exception_handler(NotReadyError, _on_not_ready)
    app.add_exception_handler(QueueFullError, _on_queue_full)
    app.add_exception_handler(DeadlineError, _on_deadline)
    app.add_exception_handler(SynthesisError, _on_synthesis_error)


async def _on_not_ready(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotReadyError)
    if error.state is EngineState.LOADING:
        problem = Problem(503, "warming", "The model is still loading.", headers={"Retry-After": "5"})
    elif error.state is EngineState.FAILED:
        problem = Problem(503, "model-failed", "The model could not be loaded, or its device is lost; see the log.")
    else:
        problem = Problem(503, "stopping", "The server is shutting down.", headers={"Connection": "close"})
    return render(request, problem)


async def _on_queue_full(request: Request, error: Exception) -> Response:
    assert isinstance(error, QueueFullError)
    headers = {"Retry-After": str(error.retry_after)}
    return render(
        request, Problem(503, "queue-full", "As many requests wait as may; try again later.", headers=headers)
    )


async def _on_deadline(request: Request, error: Exception) -> Response:
    return render(request, Problem(504, "deadline-exceeded", "The time given by X-Deadline-Ms passed without audio."))


async def _on_synthesis_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SynthesisError)
    if error.out_of_memory:
        return render(request, Problem(507, "out-of-memory", "The device ran out of memory: send a shorter mel."))
    return render(request, Problem(500, "synthesis-failed", f"There is no audio: {error}."))
