from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from evaluation_corpus import RATE, NoiseVocoder, voice

from training.evaluate.candidates import Candidate, of_vocoder
from training.evaluate.evaluation import evaluate, score, scoring_pool, synthesized
from training.evaluate.metric import Audio, Metric, MetricUndefinedError, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import Recording
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")
TRUTH = Candidate("ground truth", NVIDIA)


def picky(reference: Audio, generated: Audio, sample_rate: int) -> float:
    raise MetricUndefinedError("it does not like this")


def metric(name: str, measure, package: str | None = None) -> Metric:
    return Metric(name, name, "higher", 2, measure, "a test", package)


LEVEL = metric("level", lambda reference, generated, sample_rate: float(np.std(generated)))


def recording(seconds: float = 0.5, name: str = "a", path: str = "0", **more) -> Recording:
    return Recording(path, name, True, voice(120.0, seconds, seed=int(path)), RATE, **more)


def test_scores_say_why_a_value_is_absent() -> None:
    x = voice(120.0, 0.2)
    values, problems = score([LEVEL, metric("picky", picky), metric("infinite", lambda *_: float("inf"))], RATE, x, x)
    assert values == {"level": pytest.approx(np.std(x)), "picky": None, "infinite": None}
    assert problems == {"picky": "it does not like this", "infinite": "it came out as inf"}
    broken = x.copy()
    broken[7] = np.nan
    assert score([LEVEL], RATE, x, broken)[1] == {"level": "the generated audio is not finite"}
    with pytest.raises(ValueError, match="one length"):
        score([LEVEL], RATE, x, x[1:])


def test_metrics_without_their_package_are_named() -> None:
    absent = metric("absent", picky, package="no_such_package_at_all")
    assert split_by_package([LEVEL, absent]) == ((LEVEL,), {"absent": "no_such_package_at_all"})


def test_what_processes_get_and_return_can_be_sent() -> None:
    x = voice(120.0, 0.1)
    task = partial(score, tuple(m for m in METRICS if m.name == "stft_distance"), RATE)
    sent = pickle.loads(pickle.dumps(task))
    assert pickle.loads(pickle.dumps(sent(x, 0.5 * x))) == task(x, 0.5 * x)
    with pytest.raises(ValueError, match="at least 1 process"), scoring_pool(0):
        pass


def test_audio_is_cut_to_the_recording_and_timed() -> None:
    given = recording()
    x, seconds = synthesized(of_vocoder(NoiseVocoder(), "noise", sigma=0.5, seed=3), given)
    assert x.shape == given.x.shape
    assert seconds is not None
    assert seconds > 0
    np.testing.assert_array_equal(x, NoiseVocoder().synthesize(np.zeros((80, 44)), sigma=0.5, seed=3)[: len(x)])
    assert synthesized(TRUTH, given) == (given.x, None)


def test_framings_that_end_early_are_filled_with_silence_and_other_lengths_refused() -> None:
    short = Recording("0", "a", True, voice(120.0, 0.5)[:10_000], RATE)  # 39 whole hops
    x, _ = synthesized(Candidate("ones", preset("hifigan"), lambda mel: np.ones(mel.shape[1] * 256, np.float32)), short)
    assert x.tolist() == [1.0] * (39 * 256) + [0.0] * (10_000 - 39 * 256)
    with pytest.raises(ValueError, match="short must synthesize"):
        synthesized(Candidate("short", NVIDIA, lambda mel: np.ones(mel.shape[1] * 255, np.float32)), short)


def test_rows_follow_the_recordings_and_the_first_of_each_voice_are_kept() -> None:
    recordings = [recording(0.5), recording(0.6, path="1"), recording(0.7, "b", "2")]
    model = of_vocoder(NoiseVocoder(), "noise", sigma=0.3)
    rows, heard = evaluate(model, recordings, [LEVEL])
    assert [(row.path, row.voice, row.seconds) for row in rows] == [(r.path, r.voice, r.seconds) for r in recordings]
    assert all(row.values["level"] == pytest.approx(0.3, rel=0.05) for row in rows)
    assert all(row.synthesis_seconds is not None for row in rows)
    assert {path: len(x) for path, x in heard.items()} == {r.path: len(r.x) for r in recordings[::2]}
    assert list(evaluate(model, recordings, [LEVEL], examples=2)[1]) == ["0", "1", "2"]


def test_a_voice_is_unseen_by_the_models_that_did_not_hear_it() -> None:
    """Whatever the manifest at hand trains on: it may be another one than the model's."""
    new = Recording("0", "new", False, voice(120.0, 0.5), RATE, corpus="mine", speaker="new")
    old = recording(path="1", corpus="theirs", speaker="old")
    tuned, foreign = NoiseVocoder("tuned"), NoiseVocoder("foreign")
    tuned.provenance = {"data": [{"corpus": "mine", "licence": "CC0-1.0", "speakers": ["new"]}]}

    def seen(candidate: Candidate) -> list[bool]:
        return [row.seen for row in evaluate(candidate, [new, old], [LEVEL])[0]]

    assert seen(of_vocoder(tuned, "tuned")) == [True, False]
    assert seen(of_vocoder(foreign, "foreign")) == [False, True]  # it does not say, so the manifest does
    assert seen(TRUTH) == [True, True]
