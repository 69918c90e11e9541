"""One candidate on all recordings: synthesize, score, one row for each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from training.evaluate.candidates import Candidate, mel_of
from training.evaluate.metric import Audio, Metric
from training.evaluate.recordings import Recording
from training.evaluate.scoring import score
from training.progress import with_bar


@dataclass(frozen=True)
class Row:
    """The scores of one candidate on one recording.

    Attributes:
        seen: False where the candidate is a model whose training did not hear the voice.
        seconds: duration of the recording.
        values: by name of the metric; None where it is undefined, for the reason in `problems`.
        synthesis_seconds: how long the candidate took to synthesize; None for the recording itself.
    """

    candidate: str
    path: str
    voice: str
    seen: bool
    seconds: float
    values: dict[str, float | None]
    problems: dict[str, str]
    synthesis_seconds: float | None


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
    examples: int = 1,
) -> Evaluated:
    """Evaluate one candidate.

    All synthesis is done, and timed, before scoring starts, so that the processes that score do not slow it down.

    The processes of `pool` score, or this one. The audio of so many `examples` of each voice is kept.

    Raises:
        ValueError: the candidate returned audio of a wrong length.
    """
    rate = candidate.mel_config.sample_rate
    for recording in recordings[:1]:
        synthesized(candidate, recording)  # a model's first call is slower than the others
    made = [synthesized(candidate, recording) for recording in recordings]
    references, audio = [recording.at(rate) for recording in recordings], [x for x, _ in made]
    rows, heard, voices = list[Row](), dict[str, Audio](), list[str]()
    scored = (map if pool is None else pool.map)(partial(score, tuple(metrics), rate), references, audio)
    scores = with_bar(scored, "utt", len(recordings), candidate.name)
    for recording, (x, seconds), one in zip(recordings, made, scores, strict=True):
        rows.append(
            Row(
                candidate.name,
                recording.path,
                recording.voice,
                candidate.has_heard(recording),
                recording.seconds,
                one.values,
                one.problems,
                seconds,
            )
        )
        if voices.count(recording.voice) < examples:
            voices.append(recording.voice)
            heard[recording.path] = np.nan_to_num(x, posinf=0.0, neginf=0.0)  # its scores say that it is not finite
    return Evaluated(rows, heard)


def synthesized(candidate: Candidate, recording: Recording) -> tuple[Audio, float | None]:
    """Return what a candidate makes of a recording's mel, or of the one it came with, and the seconds it took.

    The audio is as long as the recording (T,).

    Raises:
        ValueError: the candidate returned less audio, or not (T,).
    """
    config = candidate.mel_config
    reference = recording.at(config.sample_rate)
    if candidate.synthesize is None:
        return reference, None
    given = recording.given(config) if candidate.takes_given else None
    mel, delay = given or (mel_of(reference, config), 0)
    start = time.perf_counter()
    generated = candidate.synthesize(mel)
    seconds = time.perf_counter() - start
    expected = mel.shape[1] * config.hop_length
    if generated.shape != (expected,):
        raise ValueError(f"{candidate.name} must synthesize ({expected},) from {mel.shape}, not {generated.shape}")
    missing = max(0, len(reference) - expected)  # framings without centring leave up to a hop at the end
    return np.pad(generated, (delay, missing))[: len(reference)], seconds
