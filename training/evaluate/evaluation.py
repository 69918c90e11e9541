"""One candidate on all recordings: synthesize, score, one row for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from training.evaluate.candidates import Candidate, mel_of
from training.evaluate.density import nats_per_sample
from training.evaluate.metric import Audio, Metric
from training.evaluate.recordings import Recording
from training.evaluate.scoring import Pair, Scores, score_all

__all__ = ["Evaluated", "Row", "evaluate", "spoken"]


@dataclass(frozen=True)
class Row:
    """The scores of one candidate on one recording.

    Attributes:
        seen: False where the candidate is a model whose training did not hear the voice.
        seconds: duration of the recording.
        values: by name of the metric; None where it is undefined, for the reason in `problems`. "nats" is among them
            where it was asked for and the candidate has a density.
        synthesis_seconds: how long the candidate took to synthesize; None for the recording itself.
        density_seconds: how long the density of the recording took; None where it was not computed.
    """

    candidate: str
    path: str
    voice: str
    seen: bool
    seconds: float
    values: dict[str, float | None]
    problems: dict[str, str]
    synthesis_seconds: float | None
    density_seconds: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """A row for each recording, in order, and the audio (T,) of the first recordings of each voice, by path."""

    rows: list[Row]
    examples: dict[str, Audio]


def evaluate(
    candidate: Candidate,
    recordings: Sequence[Recording],
    metrics: Sequence[Metric],
    pool: ProcessPoolExecutor | None = None,
    nats: bool = False,
    progress: Callable[[int], object] = lambda done: None,
    examples: int = 1,
) -> Evaluated:
    """Evaluate one candidate.

    All synthesis is done, and timed, before scoring starts, so that the processes that score do not slow it down.

    Args:
        candidate: what to evaluate.
        recordings: what to compare it with.
        metrics: what to compute.
        pool: the processes that score; None scores in this one.
        nats: also compute nats per sample, where the candidate has a density.
        progress: called with the number of recordings scored so far.
        examples: how many recordings of each voice to keep the audio of, one at least.

    Raises:
        ValueError: the candidate returned audio of a wrong length.
    """
    references = [_Reference.of(recording, candidate) for recording in recordings]
    audio = _synthesize_all(candidate, references)
    pairs = [
        Pair(reference.x, generated, candidate.mel_config.sample_rate)
        for reference, (generated, _) in zip(references, audio, strict=True)
    ]
    scores = []
    for scored in score_all(metrics, pairs, pool):
        scores.append(scored)
        progress(len(scores))
    timed = zip(recordings, scores, _nats_of_all(candidate, references, nats), audio, strict=True)
    rows = [_row(candidate, recording, scored, density, took) for recording, scored, density, (_, took) in timed]
    kept = _first_of_each_voice(recordings, max(1, examples))
    heard = {recordings[i].path: np.nan_to_num(audio[i][0], posinf=0.0, neginf=0.0) for i in kept}
    return Evaluated(rows, heard)  # where audio is not finite, its scores say so, and it is drawn and heard as silence


def _first_of_each_voice(recordings: Sequence[Recording], count: int) -> list[int]:
    by_voice: dict[str, list[int]] = {}
    for i, recording in enumerate(recordings):
        by_voice.setdefault(recording.voice, []).append(i)
    return [i for chosen in by_voice.values() for i in chosen[:count]]


@dataclass(frozen=True)
class _Reference:
    """A recording as a candidate gets it.

    Attributes:
        x: (T,).
        mel: that it came with, in the candidate's mel config.
        delay: samples of x before the one that the first frame of `mel` is centred on.
    """

    x: Audio
    mel: Audio | None
    delay: int

    @classmethod
    def of(cls, recording: Recording, candidate: Candidate) -> _Reference:
        given = recording.given(candidate.mel_config) if candidate.speak and candidate.takes_given else None
        mel, delay = given or (None, 0)
        return cls(recording.at(candidate.mel_config.sample_rate), mel, delay)

    def spoken_by(self, candidate: Candidate) -> tuple[Audio, float | None]:
        return spoken(candidate, self.x, self.mel, self.delay)


def spoken(
    candidate: Candidate, reference: Audio, mel: Audio | None = None, delay: int = 0
) -> tuple[Audio, float | None]:
    """Return what a candidate makes of the mel of reference (T,), cut to T samples, and the seconds it took.

    `mel` (n_mels, frames) replaces the recording's own; its audio belongs `delay` samples later.

    Raises:
        ValueError: the candidate returned less audio, or not (T,).
    """
    if candidate.speak is None:
        return reference, None
    mel = mel_of(reference, candidate.mel_config) if mel is None else mel
    start = time.perf_counter()
    generated = candidate.speak(mel)
    seconds = time.perf_counter() - start
    expected = mel.shape[1] * candidate.mel_config.hop_length
    if generated.shape != (expected,):
        raise ValueError(f"{candidate.name} must speak ({expected},) from {mel.shape}, not {generated.shape}")
    # Framings without centring leave up to a hop at the end unspoken.
    missing = max(0, len(reference) - expected)
    return np.pad(generated, (delay, missing))[: len(reference)], seconds


def _synthesize_all(candidate: Candidate, references: Sequence[_Reference]) -> list[tuple[Audio, float | None]]:
    if references:
        references[0].spoken_by(candidate)  # a model's first call is slower than the others
    return [reference.spoken_by(candidate) for reference in references]


def _nats_of_all(
    candidate: Candidate, references: Sequence[_Reference], wanted: bool
) -> list[tuple[float, float] | None]:
    """Return the nats per sample of each recording and the seconds they took; None without a density."""
    if not wanted or candidate.density is None or not references:
        return [None] * len(references)
    nats_per_sample(candidate.density, references[0].x, candidate.mel_config)  # as with speaking, the first is slower
    found: list[tuple[float, float] | None] = []
    for reference in references:
        start = time.perf_counter()
        x = reference.x[reference.delay :]
        nats = nats_per_sample(candidate.density, x, candidate.mel_config, mel=reference.mel)
        found.append((nats, time.perf_counter() - start))
    return found


def _row(
    candidate: Candidate,
    recording: Recording,
    scores: Scores,
    nats: tuple[float, float] | None,
    synthesis_seconds: float | None,
) -> Row:
    return Row(
        candidate=candidate.name,
        path=recording.path,
        voice=recording.voice,
        seen=candidate.has_heard(recording),
        seconds=recording.seconds,
        values={**scores.values, **({} if nats is None else {"nats": nats[0]})},
        problems=scores.problems,
        synthesis_seconds=synthesis_seconds,
        density_seconds=None if nats is None else nats[1],
    )
