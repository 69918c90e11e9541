from __future__ import annotations

import numpy as np
import pytest
from evaluation_corpus import RATE, NoiseVocoder, WhiteModel, voice

from training.evaluate.candidates import Candidate, ground_truth, of_vocoder, smoothed
from training.evaluate.evaluation import evaluate, spoken
from training.evaluate.metric import Audio, Metric, MetricUndefinedError, split_by_package
from training.evaluate.recordings import Recording
from training.evaluate.scoring import Pair, Scores, score, score_all, scoring_pool
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


def level(reference: Audio, generated: Audio, sample_rate: int) -> float:
    return float(np.std(generated))


def picky(reference: Audio, generated: Audio, sample_rate: int) -> float:
    raise MetricUndefinedError("it does not like this")


def infinite(reference: Audio, generated: Audio, sample_rate: int) -> float:
    return float("inf")


def metric(name: str, measure, package: str | None = None) -> Metric:
    return Metric(name, name, "higher", 2, measure, "a test", package)


LEVEL = metric("level", level)


def two_voices() -> list[Recording]:
    plan = [("a", 0.5), ("a", 0.6), ("b", 0.7)]
    return [Recording(f"{i}", name, True, voice(120.0, s, seed=i), RATE) for i, (name, s) in enumerate(plan)]


def test_scores_say_why_a_value_is_absent() -> None:
    x = voice(120.0, 0.2)
    metrics = [LEVEL, metric("picky", picky), metric("infinite", infinite)]
    scores = score(metrics, Pair(x, x, RATE))
    assert scores.values == {"level": pytest.approx(np.std(x)), "picky": None, "infinite": None}
    assert scores.problems == {"picky": "it does not like this", "infinite": "it came out as inf"}


def test_broken_audio_has_no_scores() -> None:
    x = voice(120.0, 0.2)
    broken = x.copy()
    broken[7] = np.nan
    assert score([LEVEL], Pair(x, broken, RATE)) == Scores(
        {"level": None}, {"level": "the generated audio is not finite"}
    )


def test_metrics_without_their_package_are_named() -> None:
    absent = metric("absent", level, package="no_such_package_at_all")
    assert split_by_package([LEVEL, absent]) == ((LEVEL,), {"absent": "no_such_package_at_all"})


def test_several_processes_score_in_order_like_one() -> None:
    x = voice(120.0, 0.1)
    pairs = [Pair(x, scale * x, RATE) for scale in (0.5, 1.0, 2.0)]
    from training.evaluate.metrics import METRICS

    metrics = [m for m in METRICS if m.name == "stft_distance"]
    with scoring_pool(1) as nobody, scoring_pool(2) as pool:
        assert nobody is None
        assert list(score_all(metrics, pairs, pool)) == list(score_all(metrics, pairs, nobody))
    with pytest.raises(ValueError, match="at least 1 process"), scoring_pool(0):
        pass


def test_what_is_spoken_is_cut_to_the_recording_and_timed() -> None:
    x = voice(120.0, 0.5)
    generated, seconds = spoken(of_vocoder(NoiseVocoder(), "noise", sigma=0.5, seed=3), x)
    assert generated.shape == x.shape
    assert seconds is not None
    assert seconds > 0
    np.testing.assert_array_equal(generated, NoiseVocoder().synthesize(np.zeros((80, 44)), sigma=0.5, seed=3)[: len(x)])
    assert spoken(ground_truth(NVIDIA), x) == (x, None)


def test_framings_that_end_early_are_filled_with_silence() -> None:
    x = voice(120.0, 0.5)[:10_000]  # 39 whole hops
    candidate = Candidate("ones", preset("hifigan"), speak=lambda mel: np.ones(mel.shape[1] * 256, np.float32))
    generated, _ = spoken(candidate, x)
    assert generated.tolist() == [1.0] * (39 * 256) + [0.0] * (10_000 - 39 * 256)


def test_smoothed_mels_are_smooth_along_time_and_bands() -> None:
    heard: list[Audio] = []

    def speak(mel: Audio) -> Audio:
        heard.append(mel)
        return np.zeros(mel.shape[1] * NVIDIA.hop_length, np.float32)

    plain = Candidate("plain", NVIDIA, speak=speak, density=WhiteModel(1.0))
    x = voice(120.0, 0.5)
    for candidate in (plain, smoothed(plain), smoothed(plain), smoothed(plain, seed=1)):
        spoken(candidate, x)
    true, smooth, again, other = heard
    for axis in (0, 1):
        assert np.diff(smooth, axis=axis).std() < 0.95 * np.diff(true, axis=axis).std()
    np.testing.assert_array_equal(smooth, again)
    assert np.abs(smooth - other).max() > 1e-3
    assert smoothed(plain).density is None
    assert smoothed(ground_truth(NVIDIA)) == ground_truth(NVIDIA)


def test_a_vocoder_that_speaks_too_little_is_refused() -> None:
    candidate = Candidate("short", NVIDIA, speak=lambda mel: np.ones(mel.shape[1] * 255, np.float32))
    with pytest.raises(ValueError, match=r"short must speak \(11264,\)"):
        spoken(candidate, voice(120.0, 0.5))


def test_rows_follow_the_recordings() -> None:
    recordings = two_voices()
    model = of_vocoder(NoiseVocoder(model=WhiteModel(0.1)), "noise", sigma=0.3)
    done: list[int] = []
    result = evaluate(model, recordings, [LEVEL], nats=True, progress=done.append)
    assert [(row.path, row.voice, row.seconds) for row in result.rows] == [
        (r.path, r.voice, r.seconds) for r in recordings
    ]
    assert all(row.values["level"] == pytest.approx(0.3, rel=0.05) for row in result.rows)
    assert all(row.values["nats"] is not None and row.synthesis_seconds is not None for row in result.rows)
    assert done == [1, 2, 3]
    first = {recordings[i].path: recordings[i].x.shape for i in (0, 2)}
    assert {path: x.shape for path, x in result.examples.items()} == first
    more = evaluate(model, recordings, [LEVEL], examples=2).examples
    assert list(more) == [recording.path for recording in recordings]


def test_a_voice_is_unseen_by_the_models_that_did_not_hear_it() -> None:
    """Whatever the manifest at hand trains on: it may be another one than the model's."""
    new = Recording("0", "new", False, voice(120.0, 0.5), RATE, corpus="mine", speaker="new")
    old = Recording("1", "old", True, voice(120.0, 0.5), RATE, corpus="theirs", speaker="old")
    tuned, foreign = NoiseVocoder("tuned"), NoiseVocoder("foreign")
    tuned.provenance = {"data": [{"corpus": "mine", "licence": "CC0-1.0", "speakers": ["new"]}]}

    def seen(candidate: Candidate) -> list[bool]:
        return [row.seen for row in evaluate(candidate, [new, old], [LEVEL]).rows]

    assert seen(of_vocoder(tuned, "tuned")) == [True, False]
    assert seen(of_vocoder(foreign, "foreign")) == [False, True]  # it does not say, so the manifest does
    assert seen(ground_truth(NVIDIA)) == [True, True]
