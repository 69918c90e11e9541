"""The one thread on which everything that computes runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

import torch

from server.engine.cores import compute_on

__all__ = ["Device"]

P = ParamSpec("P")
R = TypeVar("R")


class Device:
    """Runs one function at a time, in the order in which they were asked for, on as many cores as there are.

    Each thread that computes on several cores brings threads of its own, and once there are more of all these than
    cores they no longer watch for each other but sleep, which makes each of them half as fast: so there is one.

    Args:
        cores: to compute on; those of the thread that makes this if left out.
    """

    def __init__(self, cores: int | None = None) -> None:
        self._cores = torch.get_num_threads() if cores is None else cores
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        # A daemon, since a device may hang for good and must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Wait for the device, and return what a function returns there or raise what it raises."""
        future: Future[R] = Future()
        self._calls.put((future, lambda: function(*args, **kwargs)))
        return future.result()

    def stop(self) -> None:
        """Let the thread end once it has done what was asked for."""
        self._calls.put(None)

    def _serve(self) -> None:
        compute_on(self._cores)
        while (call := self._calls.get()) is not None:
            future, function = call
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del call, future, function  # which hold what was computed
