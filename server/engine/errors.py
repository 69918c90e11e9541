"""Where an engine stands, and why it gives no audio."""

from __future__ import annotations

from enum import StrEnum

from server.errors import RequestError

__all__ = ["DeadlineError", "EngineState", "NotReadyError", "QueueFullError", "SynthesisError"]

# By their names: any synthesizer may run here, and not every one is torch's.
OUT_OF_MEMORY = frozenset({"OutOfMemoryError"})
FATAL = frozenset({"AcceleratorError"})


class EngineState(StrEnum):
    """Where an engine stands: it only ever moves down this list."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


NOT_READY = {
    EngineState.LOADING: ("warming", "The model is still loading.", 5),
    EngineState.FAILED: ("model-failed", "The model could not be loaded, or its device is lost; see the log.", None),
    EngineState.STOPPED: ("stopping", "The server is shutting down.", None),
}


class NotReadyError(RequestError):
    """The engine takes no work because of its `state`: loading, failed or stopped."""

    def __init__(self, state: EngineState) -> None:
        super().__init__(*NOT_READY[state])
        self.state = state


class QueueFullError(RequestError):
    """There is no room in the queue; `retry_after` is the estimated seconds until there is."""

    def __init__(self, retry_after: int) -> None:
        waiting = f"About {retry_after} s of work wait already, and no more may; try again later."
        super().__init__("queue-full", waiting, retry_after)


class DeadlineError(RequestError):
    """The time by which an answer was wanted has passed."""

    def __init__(self) -> None:
        super().__init__("deadline-exceeded", "The time that the request gave passed without audio.")


class SynthesisError(RequestError):
    """The model failed on one request.

    Attributes:
        out_of_memory: whether memory was the reason.
        fatal: whether the device is lost, so that nothing will ever run on it again in this process.
    """

    def __init__(self, message: str, out_of_memory: bool = False, fatal: bool = False) -> None:
        if out_of_memory:
            super().__init__("out-of-memory", "The device ran out of memory: send a shorter mel.")
        else:
            super().__init__("synthesis-failed", f"There is no audio: {message}.")
        self.out_of_memory = out_of_memory
        self.fatal = fatal

    @classmethod
    def of(cls, error: Exception) -> SynthesisError:
        """Wrap whatever a model raised, without its text, which may hold anything."""
        if isinstance(error, cls):
            return error
        name = type(error).__name__
        out_of_memory = isinstance(error, MemoryError) or name in OUT_OF_MEMORY
        fatal = name in FATAL or (isinstance(error, RuntimeError) and "CUDA error" in str(error))
        return cls(f"the model failed with {name}", out_of_memory, fatal and not out_of_memory)
