"""Evaluates one candidate on all recordings: synthesis, then scores, a row for each recording."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import librosa
import numpy as np

from training.corpora.mapping import with_bar
from training.evaluate.candidates import Candidate
from training.evaluate.metric import Audio, Metric, MetricUndefinedError
from training.evaluate.recordings import Recording
from vocoder.mel.spectrogram import mel_of


@dataclass(frozen=True)
class Row:
    """The scores of one candidate on one recording.

    `seen` is False if the candidate is a model that was not trained on the voice. Values are by metric name; None means
    undefined, for the reason in `problems`. `synthesis_seconds` is None for recordings themselves.
    """

    candidate: str
    path: str
    voice: str
    seen: bool
    seconds: float
    values: dict[str, float | None]
    problems: dict[str, str]
    synthesis_seconds: float | None


def evaluate(
    candidate: Candidate,
    recordings: Sequence[Recording],
    metrics: Sequence[Metric],
    over: Callable[..., Iterator[Any]] = map,
    examples: int = 1,
) -> tuple[list[Row], dict[str, Audio]]:
    """Return a row per recording, in order, and the audio (T,) of the first `examples` of each voice, by path.

    All synthesis is done and timed before scoring, which would slow it down; `over` maps scoring over recordings.
    Raises ValueError if the candidate returned audio of a wrong length.
    """
    rate = candidate.mel_config.sample_rate
    for recording in recordings[:1]:
        synthesized(candidate, recording)  # warms up: a model's first call is slower
    title = f"synthesizing {candidate.name}" if candidate.synthesize else None
    made = [synthesized(candidate, recording) for recording in with_bar(recordings, "utt", len(recordings), title)]
    references, generated = [recording.at(rate) for recording in recordings], [x for x, _ in made]
    scored = over(partial(score, tuple(metrics), rate), references, generated)
    scores = with_bar(scored, "utt", len(made), f"scoring {candidate.name}")
    rows, heard, voices = list[Row](), dict[str, Audio](), list[str]()
    for recording, (x, seconds), (values, problems) in zip(recordings, made, scores, strict=True):
        about = recording.entry.path, recording.voice, candidate.has_heard(recording), recording.seconds
        rows.append(Row(candidate.name, *about, values, problems, seconds))
        if voices.count(recording.voice) < examples:
            voices.append(recording.voice)
            heard[recording.entry.path] = np.nan_to_num(x, posinf=0.0, neginf=0.0)  # the scores report it
    return rows, heard


def synthesized(candidate: Candidate, recording: Recording) -> tuple[Audio, float | None]:
    """Return a candidate's audio for a recording's mel, or the mel it came with, and the seconds it took.

    The audio is as long as the recording (T,). Raises ValueError if the candidate returned less audio, or not (T,).
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
    # Framings without centring leave up to a hop at the end.
    return librosa.util.fix_length(np.pad(generated, (delay, 0)), size=len(reference)), seconds


def score(
    metrics: Sequence[Metric], sample_rate: int, reference: Audio, generated: Audio
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the metrics of a recording (T,) and generated audio (T,) by name, and why some are None."""
    values: dict[str, float | None] = {metric.name: None for metric in metrics}
    problems: dict[str, str] = {}
    for metric in metrics:
        try:
            if not np.isfinite(generated).all():
                raise MetricUndefinedError("the generated audio is not finite")
            value = metric.measure(reference, generated, sample_rate)
            if not np.isfinite(value):
                raise MetricUndefinedError(f"it came out as {value}")
            values[metric.name] = value
        except MetricUndefinedError as error:
            problems[metric.name] = str(error)
    return values, problems
