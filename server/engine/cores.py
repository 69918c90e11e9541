"""How many cores a thread computes on: the model's threads get what there is, every other thread one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import torch

__all__ = ["compute_on", "on_one_core"]

R = TypeVar("R")


def compute_on(cores: int) -> None:
    """Have the calling thread, and no other, compute on so many cores from now on.

    Two threads that both compute on all cores wait for each other at every barrier of both.
    """
    torch.get_num_threads()  # when first asked a thread takes over what another set last, which would undo this
    torch.set_num_threads(cores)


def on_one_core(function: Callable[[], R]) -> R:
    """Return what a function returns that runs on a thread of its own, which takes one core; raise what it raises."""
    future: Future[R] = Future()

    def work() -> None:
        compute_on(1)
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return future.result()
