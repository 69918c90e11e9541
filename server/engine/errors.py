"""The states of an engine, and the problems that it raises."""

import math
from enum import StrEnum

from server.problems import Problem

MAX_RETRY_AFTER = 60


class EngineState(StrEnum):
    """The state of an engine. From idle or unloaded it may load again; failed and stopped are final."""

    LOADING = "loading"
    READY = "ready"
    IDLE = "idle"
    UNLOADED = "unloaded"
    FAILED = "failed"
    STOPPED = "stopped"


LOADING_SECONDS = 5
NOT_READY = {
    EngineState.LOADING: ("warming", "The model is still loading."),
    EngineState.IDLE: ("warming", "The model is idle; the next request loads it."),
    EngineState.UNLOADED: ("unloaded", "The model was taken out of service."),
    EngineState.FAILED: ("model-failed", "The model could not be loaded, or its device is lost. See the log."),
    EngineState.STOPPED: ("stopping", "The server is shutting down."),
}


class NotReadyError(Problem):
    """The engine accepts no work because of its state, or because its model could not be reloaded for a `reason`."""

    def __init__(self, state: EngineState, reason: str | None = None) -> None:
        temporary = reason is None and state in (EngineState.LOADING, EngineState.IDLE)
        kind, detail = ("model-failed", f"The model cannot be loaded: {reason}.") if reason else NOT_READY[state]
        super().__init__(kind, detail, retry_after=LOADING_SECONDS if temporary else None)


class QueueFullError(Problem):
    """A new job would wait about `seconds`: the queue is full, or that is more than the `longest` wait allowed."""

    def __init__(self, seconds: float, longest: float | None = None) -> None:
        wait = max(1, math.ceil(seconds))
        detail = f"The queue is full with about {wait} s of work."
        if longest is not None:
            detail = f"A new request would wait about {wait} s, and this server allows {longest:g} s."
        super().__init__("queue-full", detail, retry_after=min(MAX_RETRY_AFTER, wait))


class SynthesisError(Problem):
    """The model failed on one request; `cause` is its exception, or says what is wrong with its audio."""

    def __init__(self, cause: str | Exception) -> None:
        name, text = type(cause).__name__, str(cause)  # a synthesizer need not be based on torch
        on_mps = isinstance(cause, RuntimeError) and text.startswith("MPS backend out of memory")
        lost = name == "AcceleratorError" or (isinstance(cause, RuntimeError) and "CUDA error" in text)
        self.out_of_memory = isinstance(cause, MemoryError) or name == "OutOfMemoryError" or on_mps
        self.fatal = lost and not self.out_of_memory
        """whether the device is lost for the rest of this process"""
        # The message of an exception may contain anything.
        message = cause if isinstance(cause, str) else f"the model failed with {name}"
        if self.out_of_memory:
            super().__init__("out-of-memory", "The device ran out of memory; send a shorter mel.")
        else:
            super().__init__("synthesis-failed", f"Synthesis failed: {message}.")
