"""The one thread on which all models run, and the number of cores that a thread computes on."""

from __future__ import annotations

import threading
import time
from typing import Protocol

import torch

__all__ = ["Device", "Tenant", "compute_on"]

IDLE_BEAT = 0.5  # seconds between heartbeats of an idle device
TURN_SECONDS = 1.0  # about the longest turn of one model before the next


class Tenant(Protocol):
    """One of the models that share a device.

    Attributes:
        used: seconds of the device so far, which decide whose turn it is.
    """

    used: float

    @property
    def waits(self) -> bool:
        """Whether it has work. The device's lock is held."""

    @property
    def backlog(self) -> float:
        """Seconds of all its work. The device's lock is held."""

    def take_turn(self) -> None:
        """Compute something, on the device's thread."""

    def check_on_itself(self) -> None:
        """Check its health, on the device's thread while it is idle."""


class Device:
    """Runs one tenant at a time: of those with work, the one that has used the device least.

    A thread that computes on several cores brings helper threads of its own. With more of these than cores, they sleep
    instead of spinning for each other, which halves the speed. So all models share one thread, with the cores of the
    thread that made this, or with `cores`.
    """

    def __init__(self, cores: int | None = None) -> None:
        self.changed = threading.Condition()  # with a reentrant lock
        """Hold it while queues change, and notify it afterwards."""
        self._cores = torch.get_num_threads() if cores is None else cores
        self._tenants: list[Tenant] = []
        self._reached = 0.0  # what the last chosen tenant had used
        self._stopping = False
        self._beat = time.monotonic()
        # A daemon: a device that hangs for good must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)

    @property
    def running(self) -> bool:
        """Whether the thread has been started and has not ended."""
        return self._thread.is_alive()

    @property
    def turn_seconds(self) -> float:
        """Duration of the present turn so far."""
        return time.monotonic() - self._beat

    def add(self, tenant: Tenant) -> None:
        """Add a tenant."""
        self._tenants.append(tenant)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End when no work is left; wait at most `timeout` seconds."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def alive(self, stall_timeout: float) -> bool:
        """Whether there was a sign of life in the last `stall_timeout` seconds."""
        return self._thread.is_alive() and self.turn_seconds < stall_timeout

    def notify(self, tenant: Tenant) -> None:
        """Announce work of a tenant. Call it with the lock held, before the work is queued."""
        if not tenant.waits:  # an idle tenant saves up no time
            tenant.used = max(tenant.used, self._reached)
        self.changed.notify_all()

    def expected_wait(self, tenant: Tenant) -> float:
        """Return the seconds until all work of a tenant is done, while others take their turns.

        Call it with the lock held.
        """
        own = tenant.backlog
        others = [other.backlog for other in self._tenants if other is not tenant]
        return own + sum(min(backlog, own + TURN_SECONDS) for backlog in others)

    def _serve(self) -> None:
        compute_on(self._cores)
        while (tenant := self._next()) is not None:
            started = time.monotonic()
            tenant.take_turn()
            tenant.used += time.monotonic() - started

    def _next(self) -> Tenant | None:
        """Wait for a tenant with work; None once the device is stopping and no work is left."""
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
    """Set the number of cores for the calling thread only.

    Two threads that both compute on all cores wait for each other at every barrier.
    """
    torch.get_num_threads()  # a thread's first call adopts the last value set anywhere, which would undo this
    torch.set_num_threads(cores)
