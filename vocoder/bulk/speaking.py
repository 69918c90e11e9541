"""Synthesize a row of mel files and write each audio file completely or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocoder.adapt.path import AdaptMode
from vocoder.audio.file import write_audio
from vocoder.audio.origin import Origin
from vocoder.batching import Utterance
from vocoder.bulk.jobs import Job
from vocoder.guard.automatic import AUTO, given_preset
from vocoder.guard.opinion import GuardMode, doubt_about
from vocoder.loading import load
from vocoder.mel.config import MelConfig
from vocoder.mel.file import read_mel
from vocoder.mel.input import seeds_of

__all__ = ["Outcome", "RowSpeaker", "Voice", "part_of"]


@dataclass(frozen=True)
class Voice:
    """Options common to all files of a run.

    Attributes:
        model: shipped name or model directory.
        device: torch device.
        format: of the audio files, a key of `AUDIO_FORMATS`.
        preset: contract of the mels, a name or a file; None for the model's.
        adapt: whether adapters may be used.
        statistics: file of mean and variance of normalised mels.
        guard: what to do about mels that are not typical of their contract.
        origin: whether the files say that they are synthetic.
        dtype: precision of the products; None for that of the model on the device.
    """

    model: str
    device: str = "cpu"
    format: str = "wav"
    preset: str | None = None
    guard: GuardMode = "warn"
    origin: bool = True
    adapt: AdaptMode = "on"
    statistics: str | None = None
    dtype: str | None = None

    @property
    def contract(self) -> MelConfig | str | None:
        """Contract of the mels, None for the model's, "auto" to recognise each.

        Raises:
            ConfigError: there is no such contract, or no such statistics.
        """
        return given_preset(self.preset, self.statistics)


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job: seconds of audio and clipped samples, or why there is no audio.

    `doubt` is the message of the guard, or None if the mel is typical.
    """

    job: Job
    seconds: float = 0.0
    clipped: int = 0
    error: str | None = None
    doubt: str | None = None


class RowSpeaker:
    """Synthesizes rows of mel files.

    Raises:
        ValueError: there is no such model, device or preset.
    """

    def __init__(self, voice: Voice) -> None:
        dtype = voice.dtype and getattr(torch, voice.dtype)
        self._synthesizer = load(voice.model, voice.device, dtype or None, guard="off")
        self._contract, self._adapt = voice.contract, voice.adapt
        if self._contract != AUTO:
            self._synthesizer.path(self._contract, voice.adapt)  # raises if there is no conversion
        self._format = voice.format
        self._guard = voice.guard
        self._origin = voice.origin

    def __call__(self, row: Sequence[Job]) -> list[Outcome]:
        """Synthesize the jobs in one run of the model; a failure affects only its own outcome."""
        outcomes: list[Outcome] = []
        readable: list[tuple[Job, Utterance, str | None]] = []
        for job in row:
            try:
                readable.append((job, *self._utterance(job)))
            except Exception as error:  # any fault of one file
                outcomes.append(Outcome(job, error=_reason(error)))
        jobs, utterances = [job for job, _, _ in readable], [utterance for _, utterance, _ in readable]
        try:
            spoken = self._synthesizer.synthesize_many(utterances)
        except Exception as error:
            if len(row) == 1:
                return [Outcome(row[0], error=_reason(error))]
            return outcomes + [outcome for job in jobs for outcome in self([job])]  # each alone, to find the faulty one
        made = zip(readable, spoken, strict=True)
        return outcomes + [self._written(job, x, doubt, utterance.seed) for (job, utterance, doubt), x in made]

    def _utterance(self, job: Job) -> tuple[Utterance, str | None]:
        """Read a mel and check it with the guard."""
        mel = read_mel(job.mel)
        path = self._synthesizer.path(self._contract, self._adapt, mel)
        doubt = doubt_about(mel, path, self._guard)
        seed = seeds_of(job.sampling.seed, 1)[0]  # drawn here, so that the file can name it
        how = (job.sampling.sigma, seed, job.sampling.denoise, job.sampling.corrections)
        return Utterance(mel, *how, path.source, self._adapt), doubt

    def _written(self, job: Job, x: NDArray[np.float32], doubt: str | None, seed: int | None) -> Outcome:
        part = part_of(job.audio)
        try:
            job.audio.parent.mkdir(parents=True, exist_ok=True)
            origin = Origin.of_model(self._synthesizer.name, seed, self._synthesizer.dtype) if self._origin else None
            report = write_audio(part, x, self._synthesizer.sample_rate, format=self._format, origin=origin)
            with part.open("rb+") as file:
                os.fsync(file.fileno())  # the content must reach the disk before the name
            part.replace(job.audio)
        except Exception as error:
            with contextlib.suppress(OSError):
                part.unlink()
            return Outcome(job, error=_reason(error))
        return Outcome(job, len(x) / self._synthesizer.sample_rate, report.clipped, doubt=doubt)


def part_of(audio: Path) -> Path:
    """Return the path of an audio file while it is written."""
    return audio.with_name(f".{audio.name}.part")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"
