"""The one thread on which every model runs, and in which order; how many cores a thread computes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol, TypeVar

import torch

__all__ = ["Device", "Tenant", "compute_on", "on_one_core"]

R = TypeVar("R")

IDLE_BEAT = 0.5  # seconds between heartbeats of an idle device
TURN_SECONDS = 1.0  # about the longest that one model has the device before another gets it


class Tenant(Protocol):
    """One of those that share a device.

    Attributes:
        used: seconds of the device that it has had, by which it is decided whose turn it is.
    """

    used: float

    @property
    def waits(self) -> bool:
        """Whether it has something to compute; asked with the device's lock held."""

    @property
    def backlog(self) -> float:
        """Seconds that all would take that it has to compute; asked with the device's lock held."""

    def take_turn(self) -> None:
        """Compute something, on the device's thread."""

    def check_on_itself(self) -> None:
        """Find out, on the device's thread while it is idle, whether everything is well."""


class Device:
    """Lets one tenant at a time compute: of those that wait, the one that has had the least of the device.

    Each thread that computes on several cores brings threads of its own, and once there are more of all these than
    cores they no longer watch for each other but sleep, which makes each of them half as fast: so there is one.

    Args:
        cores: to compute on; those of the thread that makes this if left out.
        prepare: called on the thread before anything else, as to measure what these cores can do.
    """

    def __init__(self, cores: int | None = None, prepare: Callable[[], object] = lambda: None) -> None:
        self.changed = threading.Condition()  # its lock may be taken again by the thread that holds it
        """to be held while queues change, and notified when they have"""
        self.prepared = threading.Event()
        self._cores = torch.get_num_threads() if cores is None else cores
        self._prepare = prepare
        self._tenants: list[Tenant] = []
        self._reached = 0.0  # what the tenant that was chosen last had used
        self._stopping = False
        self._beat = time.monotonic()
        # A daemon, since a device may hang for good and must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)

    @property
    def running(self) -> bool:
        """Whether the thread has been started and has not ended."""
        return self._thread.is_alive()

    @property
    def turn_seconds(self) -> float:
        """How long the present turn has taken."""
        return time.monotonic() - self._beat

    def add(self, tenant: Tenant) -> None:
        """Let one more share the device."""
        self._tenants.append(tenant)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End once nothing waits any more; wait for that for at most `timeout` seconds."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def alive(self, stall_timeout: float) -> bool:
        """Whether there was a sign of life in the last `stall_timeout` seconds."""
        return self._thread.is_alive() and self.turn_seconds < stall_timeout

    def notify(self, tenant: Tenant) -> None:
        """Say that a tenant has something to compute; to be called with the lock held, before it is queued."""
        if not tenant.waits:  # time in which it wanted nothing is not saved up
            tenant.used = max(tenant.used, self._reached)
        self.changed.notify_all()

    def expected_wait(self, tenant: Tenant) -> float:
        """Return the seconds until a tenant will have computed all that it has to, while others take their turns.

        To be called with the lock held.
        """
        own = tenant.backlog
        others = [other.backlog for other in self._tenants if other is not tenant]
        return own + sum(min(backlog, own + TURN_SECONDS) for backlog in others)

    def _serve(self) -> None:
        compute_on(self._cores)
        with suppress(Exception):  # what fails here fails again, and is told, where a model is loaded
            self._prepare()
        self.prepared.set()
        while (tenant := self._next()) is not None:
            started = time.monotonic()
            tenant.take_turn()
            tenant.used += time.monotonic() - started

    def _next(self) -> Tenant | None:
        """Wait for a tenant that has something to compute; None once it is time to end and nobody has."""
        while True:
            with self.changed:
                self._beat = time.monotonic()
                waiting = [tenant for tenant in self._tenants if tenant.waits]
                if waiting:
                    chosen = min(waiting, key=lambda tenant: tenant.used)
                    self._reached = chosen.used
                    return chosen
                if self._stopping:
                    return None
                self.changed.wait(IDLE_BEAT)
                idle = not any(tenant.waits for tenant in self._tenants)
            for tenant in self._tenants if idle else ():
                tenant.check_on_itself()


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
