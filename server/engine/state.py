"""Where an engine stands, and the error that says that it takes no work."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EngineState", "NotReadyError"]


class EngineState(StrEnum):
    """Where an engine stands: it only ever moves down this list."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


class NotReadyError(Exception):
    """The engine takes no work because of its `state`: loading, failed or stopped."""

    def __init__(self, name: str, state: EngineState) -> None:
        super().__init__(f"{name} is {state}")
        self.state = state
