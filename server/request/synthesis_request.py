"""What a request asks to be spoken: read, checked and charged."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from server.access.authentication import charge_frames
from server.audio.encoding import Format, output_rate
from server.engine.engine import Engine
from server.engine.job import Ticket
from server.mel.decoding import JSON
from server.mel.judging import MelGuard
from server.mel.presets import source_config
from server.request.query import SynthesisQuery
from server.request.speaking import prepare_mel
from server.service import Service
from server.transport.body import media_type, read_body
from server.transport.departure import deadline_of
from server.transport.stopwatch import Stopwatch
from vocoder.guard.verdict import Verdict

__all__ = ["Order", "draw_seed", "take_order"]


@dataclass(frozen=True)
class Order:
    """A mel (n_mels, frames) in the contract of the engine that is to speak it, and how.

    Attributes:
        engine: that speaks.
        mel: in the model's own contract.
        seed: of the noise.
        sample_rate: Hz of the answer.
        deadline: of `time.monotonic`, after which the answer is not wanted any more.
        verdict: of the mel guard, if it has one.
    """

    engine: Engine
    mel: NDArray[np.float32]
    sigma: float | None
    seed: int
    denoise: float
    sample_rate: int
    deadline: float | None
    verdict: Verdict | None

    @property
    def ticket(self) -> Ticket:
        """What the engine needs to know of it."""
        return Ticket(self.mel, self.sigma, self.seed, self.denoise, deadline=self.deadline)


def draw_seed(asked: int | None) -> int:
    """Return the seed that was asked for, or one that nobody knows beforehand."""
    return secrets.randbelow(2**32) if asked is None else asked


async def take_order(
    request: Request, query: SynthesisQuery, target: Format, service: Service, watch: Stopwatch
) -> Order:
    """Read a request's mel, having refused what can be refused without it.

    Raises:
        Problem, NotReadyError, QueueFullError: whichever is in the way.
    """
    engine, settings, kind = service.engines.get(query.model), service.settings, media_type(request)
    engine.admit()
    charge_frames(request, 0)
    contract, deadline = engine.contract, deadline_of(request)
    source = source_config(query.preset, contract.mel_config)
    rate = output_rate(target, contract.mel_config.sample_rate, query.sample_rate)
    limit = settings.max_json_bytes if kind == JSON else settings.max_body_bytes
    body = await read_body(request, limit, settings.body_timeout)
    watch.lap("read")
    guard = MelGuard(service.guard, query.guard or settings.guard)
    mel, verdict = await service.run(
        prepare_mel, body, kind, request.headers, source, contract, settings.max_frames, guard
    )
    watch.lap("decode")
    charge_frames(request, mel.shape[1])
    return Order(engine, mel, query.sigma, draw_seed(query.seed), query.denoise, rate, deadline, verdict)
