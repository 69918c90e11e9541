"""What the thread that owns a model does: load it, try it out, and run jobs on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from server.engine.batch_runner import BatchRunner, Observer
from server.engine.calibration import Costs
from server.engine.job import Speech, SynthesisError, check_output
from server.engine.synthesizer import Load, Synthesizer
from server.engine.work_queue import Job
from server.mel.contract import MelContract
from vocoder.checkpoint import CheckpointError
from vocoder.machine.devices import DeviceError

__all__ = ["EXPECTED_ERRORS", "Calibration", "Owner", "short_name"]

EXPECTED_ERRORS = (CheckpointError, DeviceError, OSError)
"""of loading, whose texts say all: a trace would hide them"""

logger = logging.getLogger(__name__)

WARM_UP_FRAMES = 32
WARM_UP_DENOISE = 0.1

Calibration = Callable[[Synthesizer, float], Costs]
"""from a synthesizer and the value of silence to what runs cost"""


@dataclass(frozen=True)
class Owner:
    """A loaded model and how to run jobs on it; all methods but the constructor belong to one thread."""

    name: str
    contract: MelContract
    runner: BatchRunner
    frames_per_second: float

    @classmethod
    def load(cls, reference: str, load: Load, calibration: Calibration | None, observer: Observer | None) -> Owner:
        """Load a model and run it for real before anybody may use it: a broken model shows here."""
        synthesizer = load(reference)
        name, contract = short_name(synthesizer.name), MelContract.of(synthesizer.mel_config)
        started = time.monotonic()
        try_out(synthesizer, contract.silence)
        pace = WARM_UP_FRAMES / max(time.monotonic() - started, 1e-6)
        costs = Costs() if calibration is None else calibration(synthesizer, contract.silence)
        return cls(name, contract, BatchRunner(name, synthesizer, costs, observer), costs.frames_per_second or pace)

    @property
    def synthesizer(self) -> Synthesizer:
        """The model."""
        return self.runner.synthesizer

    def try_out(self) -> None:
        """Speak a little silence; raises if the model cannot."""
        try_out(self.synthesizer, self.contract.silence)

    def do(self, jobs: Sequence[Job], started: float) -> list[Any]:
        """Return what came of each job, an exception where it failed; several jobs are tickets that share a run."""
        work = jobs[0].work
        return [self._work(work)] if work is not None else self._speak(jobs, started)

    def _work(self, work: Callable[[Any], Any]) -> Any:
        try:
            return work(self.synthesizer)
        except ValueError as error:
            return error
        except Exception as error:
            logger.exception("work on %s failed", self.name)
            return SynthesisError.of(error)

    def _speak(self, jobs: Sequence[Job], started: float) -> list[Any]:
        spoken = self.runner.run([job.ticket for job in jobs if job.ticket is not None])
        seconds, rate = time.monotonic() - started, self.synthesizer.sample_rate
        return [
            x if isinstance(x, SynthesisError) else Speech(x, rate, started - job.submitted, seconds, len(jobs))
            for x, job in zip(spoken, jobs, strict=True)
        ]


def try_out(synthesizer: Synthesizer, silence: float) -> None:
    """Speak a little silence; raises if the model cannot."""
    mel = np.full((synthesizer.mel_config.n_mels, WARM_UP_FRAMES), silence, np.float32)
    x = synthesizer.synthesize(mel, seed=0, denoise=WARM_UP_DENOISE)
    check_output(x, WARM_UP_FRAMES, synthesizer.hop_length)


def short_name(reference: str) -> str:
    """Return the last part of a name or path: what requests use, and all that strangers learn of the file system."""
    return Path(reference).resolve().name
