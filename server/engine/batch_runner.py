"""Runs a model on a batch of tickets, in smaller parts where memory does not suffice."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from server.engine.calibration import Costs
from server.engine.job import SynthesisError, Ticket, check_output
from server.engine.synthesizer import BatchSynthesizer, Synthesizer
from vocoder.batching import Utterance

__all__ = ["BatchRunner", "Observer", "Outcome"]

logger = logging.getLogger(__name__)

Outcome = NDArray[np.float32] | SynthesisError


class Observer(Protocol):
    """Who is told what the engine does."""

    def count_batch(self, model: str, items: int, frames: int, padded_frames: int) -> None:
        """Note one run of a model on `items` mels of `frames` in all, for which it computed `padded_frames`."""

    def count_out_of_memory(self, model: str) -> None:
        """Note that the device had no memory for a run."""


class BatchRunner:
    """Runs one model on tickets; only the thread that owns the model uses it.

    Args:
        name: what requests call the model.
        synthesizer: the model.
        costs: of runs on this device; without any, each mel runs alone.
        observer: is told of every run.
    """

    def __init__(
        self, name: str, synthesizer: Synthesizer, costs: Costs | None = None, observer: Observer | None = None
    ) -> None:
        self.name = name
        self.synthesizer = synthesizer
        self._costs = costs or Costs()
        self.max_frames = self._costs.max_frames
        self._observer = observer

    def fits(self, frames: Sequence[int]) -> bool:
        """Whether the last of these mels should share a run with the others; one alone always may run."""
        if len(frames) == 1:
            return True
        costs, synthesizer, *others, last = self._costs, self.synthesizer, *frames
        if not isinstance(synthesizer, BatchSynthesizer) or sum(frames) > self.max_frames:
            return False
        before = costs.alone(others[0]) if len(others) == 1 else costs.together(synthesizer.run_frames(others))
        return costs.worth_joining(before, synthesizer.run_frames(frames), last)

    def run(self, tickets: Sequence[Ticket]) -> list[Outcome]:
        """Return, for each ticket, its audio or why there is none."""
        try:
            outcomes = self._speak(tickets)
        except Exception as error:
            failure = SynthesisError.of(error)
            if failure.out_of_memory:
                self._count_out_of_memory()
            if failure.fatal or len(tickets) == 1:
                logger.exception("synthesis of %s frames failed", [ticket.frames for ticket in tickets])
                return [failure] * len(tickets)
        else:
            return [self._checked(x, ticket) for x, ticket in zip(outcomes, tickets, strict=True)]
        # Outside the handler, so that nothing holds the failed run's memory any more.
        if failure.out_of_memory:
            self._shrink(tickets)
        half = len(tickets) // 2
        return self.run(tickets[:half]) + self.run(tickets[half:])

    def _speak(self, tickets: Sequence[Ticket]) -> list[NDArray[np.float32]]:
        synthesizer, frames = self.synthesizer, [ticket.frames for ticket in tickets]
        if len(tickets) > 1 and isinstance(synthesizer, BatchSynthesizer):
            many = [Utterance(ticket.mel, ticket.sigma, ticket.seed, ticket.denoise) for ticket in tickets]
            spoken, padded = synthesizer.synthesize_many(many), synthesizer.run_frames(frames)
        else:
            (ticket,) = tickets
            x = synthesizer.synthesize(ticket.mel, sigma=ticket.sigma, seed=ticket.seed, denoise=ticket.denoise)
            spoken, padded = [x], ticket.frames
        if self._observer is not None:
            self._observer.count_batch(self.name, len(tickets), sum(frames), padded)
        return spoken

    def _checked(self, x: NDArray[np.float32], ticket: Ticket) -> Outcome:
        try:
            check_output(x, ticket.frames, self.synthesizer.hop_length)
        except SynthesisError as error:
            logger.error("synthesis of %d frames failed: %s", ticket.frames, error)
            return error
        return x

    def _shrink(self, tickets: Sequence[Ticket]) -> None:
        """Make batches smaller from now on: what did not fit once will not fit the next time either."""
        self.max_frames = min(self.max_frames, sum(ticket.frames for ticket in tickets) // 2)
        logger.warning("out of memory: batches have at most %d frames from now on", self.max_frames)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _count_out_of_memory(self) -> None:
        if self._observer is not None:
            self._observer.count_out_of_memory(self.name)
