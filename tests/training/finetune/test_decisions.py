import json
import os
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from training.corpora.layouts import scan_folder
from training.corpora.manifest import Manifest
from training.evaluate.evaluation import Row
from training.finetune import outcome as module
from training.finetune.budget import FEWEST_STEPS, MOST_PASSES, held_out, plan, slow
from training.finetune.outcome import AFTER, BEFORE, HALFWAY, compared, publish_best
from training.finetune.recipe import Start
from training.finetune.recordings import cut, cut_long_recordings
from training.finetune.verdict import NOISE_ABOVE_MEL, changes, refusal, too_noisy

RATE = 8000
SAME, BETTER, WORSE = 3.0, 3.3, 2.7


def test_held_out_recordings_and_steps_stay_within_bounds():
    assert [held_out(count) for count in (6, 30, 60, 120, 5000)] == [3, 3, 6, 12, 12]
    budget = plan(10, seconds_of_speech=300, seconds_per_step=1.5, seconds_in_a_batch=6)
    assert budget.steps * 1.5 < 600 < budget.steps * 1.5 * 1.1
    assert budget.limit == 16
    fast = plan(None, seconds_of_speech=60, seconds_per_step=0.01, seconds_in_a_batch=6)
    assert (fast.steps, fast.minutes) == (MOST_PASSES * 10, pytest.approx(fast.steps * 0.01 / 60))
    assert plan(10, 60, 0.01, 6).steps > 50000
    slow = plan(0.01, 60, 100.0, 6)
    assert (slow.steps, slow.minutes) == (FEWEST_STEPS, pytest.approx(FEWEST_STEPS * 100 / 60))  # more than requested
    assert slow.limit > slow.minutes  # or the limit would end the run early


def test_only_much_slower_machines_get_a_warning_with_advice():
    assert slow(1.0, 2) is None
    assert "10 times as long" in str(slow(4.0, 2))
    assert "scores improved only from 600 steps on; use --minutes 44" in str(slow(4.0, 2))
    assert str(slow(4.0, 2, steps=50)).endswith("from 600 steps on; they would take 44 minutes.")
    assert str(slow(4.0, 2, steps=600)).endswith("or train on a machine with a GPU.")
    assert ["OMP_NUM_THREADS=1" in str(slow(4.0, threads)) for threads in (1, 2)] == [False, True]


def sentences(pauses, seconds):
    """Return noise with 0.25 s of near silence around each of the given times."""
    x = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32)
    for time in pauses:
        x[int((time - 0.125) * RATE) : int((time + 0.125) * RATE)] *= 1e-3
    return x


def test_pieces_cover_the_whole_and_end_in_pauses():
    pauses = [5.0, 13.0, 20.5, 30.0]
    x = sentences(pauses, 37.0)
    pieces = cut(x, RATE)
    assert (pieces[0][0], pieces[-1][1]) == (0, len(x))
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    np.testing.assert_allclose([stop / RATE for _, stop in pieces[:-1]], pauses, atol=0.06)


def test_short_and_broken_recordings_are_not_cut_and_changed_ones_are_cut_again(tmp_path):
    (folder := tmp_path / "in").mkdir()
    soundfile.write(folder / "short.wav", sentences([], 2.0), RATE)
    (folder / "torn.wav").write_bytes(b"RIFF")
    names = ["long-0000.flac", "long-0001.flac", "short.wav", "torn.wav"]
    for pause, time in ((8.0, 0), (7.0, 2**32)):
        long = sentences([pause], 16.0)
        soundfile.write(folder / "long.wav", long, RATE, subtype="PCM_24")
        os.utime(folder / "long.wav", (time, time))
        corpus = cut_long_recordings(scan_folder(folder, "mine"), tmp_path / "pieces")
        assert [recording.name for recording in corpus.recordings] == names
        read = [soundfile.read(recording.path, dtype="float32")[0] for recording in corpus.recordings[:2]]
        np.testing.assert_allclose(np.concatenate(read), long, atol=2**-22)


@pytest.mark.parametrize(
    ("after", "halfway", "chosen", "better", "reason"),
    [
        (BETTER, SAME, AFTER, AFTER, "The last weights are published: PESQ got better"),
        (BETTER, BETTER + 0.1, HALFWAY, HALFWAY, "The mean of the last weights and those of the start are published"),
        (WORSE, BETTER, HALFWAY, HALFWAY, "those of the start are published: PESQ got better"),
        (SAME, SAME + 0.01, BEFORE, HALFWAY, "no score of the held-out recordings got better by more than noise"),
        (
            SAME,
            WORSE,
            BEFORE,
            AFTER,
            "those of the start, held-out recordings lost more than noise in PESQ 3.00 -> 2.70",
        ),
        (None, None, BEFORE, AFTER, "could not be scored"),
    ],
)
def test_the_best_weights_are_published_with_a_reason(after, halfway, chosen, better, reason, tmp_path, monkeypatch):
    pesq = {BEFORE: SAME, AFTER: after, HALFWAY: halfway}
    calls = {}

    def compare(models, manifest, folder, options):
        calls.update(models)
        rows = [Row(c, p, "v", True, 1.0, {"pesq": pesq[c]}, {}, None) for c in models for p in "abc"]
        return SimpleNamespace(rows=rows, quality=lambda label: {"scores of": label})

    monkeypatch.setattr(module, "compare", compare)
    monkeypatch.setattr(module, "load", lambda reference, guard: str(reference))
    monkeypatch.setattr(module, "write_mean", lambda models, output: calls.update(mean=models))
    start, run = Start.of("reverse"), tmp_path / "training"
    monkeypatch.setattr(module, "publish", lambda models, _, __, card: calls.update(published=models, card=card))
    outcome = compared(start, run, Manifest(tmp_path, ()), tmp_path / "report", 0, 1)
    assert outcome.quality == {"scores of": chosen}
    assert reason in outcome.sentence
    models = {AFTER: run / "last" / "model", HALFWAY: run / "halfway" / "model"}
    assert calls.pop("mean") == [start.directory, models[AFTER]]
    assert calls == {BEFORE: "reverse"} | {label: str(model) for label, model in models.items()}
    assert (outcome.trained[0].label, outcome.trained[0].model) == (better, models[better])
    labels = [trained.label for trained in outcome.trained if after is not None]
    assert [change.partition(":")[0] for change in outcome.changes] == labels
    publish_best(outcome, tmp_path / "mine", tmp_path)
    assert calls["published"] == [start.directory if chosen == BEFORE else models[chosen]]
    assert all(text in calls["card"] for text in (outcome.sentence, *outcome.changes))
    file = json.loads((tmp_path / "outcome.json").read_text())
    assert (file["published"], file["sentence"]) == (chosen, outcome.sentence)
    assert {trained["label"]: trained["model"] for trained in file["trained"]} == {k: str(v) for k, v in models.items()}


def rows(after, before):
    return [
        Row(name, str(i), "mine", True, 1.0, {metric: column[i] for metric, column in columns.items()}, {}, None)
        for name, columns in (("before", before), ("after", after))
        for i in range(len(next(iter(columns.values()))))
    ]


def test_changes_are_means_over_pairs_with_two_standard_errors_as_noise():
    (change,) = changes(rows({"pesq": [2.6, 3.1, 3.0, 1.0]}, {"pesq": [3.0, 3.2, 3.4, None]}), "before", "after")
    assert ((change.before, change.after), change.difference) == (pytest.approx((3.2, 2.9)), pytest.approx(-0.3))
    assert change.noise == pytest.approx(2 * 0.1732 / 3**0.5, rel=1e-3)
    assert change.worse
    assert str(change) == "PESQ 3.20 -> 2.90 (-0.3, noise 0.2)"

    def note(metric, after):
        return too_noisy(changes(rows({metric: after}, {metric: [3.0, 3.0, 3.0]}), "before", "after"), 3)

    message = str(note("distillmos", [2.7, 3.0, 3.2]))
    assert "with only 3 held-out recordings, a DistillMOS change below 0.29" in message
    assert note("distillmos", [3.0, 3.1, 3.0]) is None
    assert note("pesq", [2.7, 3.0, 3.2]) is None


@pytest.mark.parametrize(
    ("predicted", "pesq", "stoi", "distillmos", "reason"),
    [
        (False, 0.3, -0.003, None, None),  # a loss within noise, outweighed
        (False, 0.02, None, 0.05, "got better by more than noise"),  # higher, but within noise
        (False, None, -0.004, 0.11, None),
        (False, -0.04, -0.004, 0.11, "did not get better in sum"),
        (False, 0.3, -0.01, None, "lost more than noise in STOI"),
        (False, 0.01, None, -0.09, "got better by more than noise"),
        (True, -0.3, None, 0.6, None),  # invented detail sounds natural but differs from the recording
        (False, -0.3, None, 0.6, "lost more than noise in PESQ"),  # the true mel contains the detail
        (True, -0.3, None, 0.0, "lost more than noise in PESQ"),  # not more natural
        (True, -0.7, None, 0.6, "lost more than noise in PESQ"),
    ],
)
def test_lower_scores_are_rejected_unless_predicted_speech_is_more_natural(predicted, pesq, stoi, distillmos, reason):
    difference = {"pesq": pesq, "stoi": stoi, "distillmos": distillmos}
    before = {metric: [2.0, 2.2, 2.4] for metric, by in difference.items() if by is not None}
    after = {m: [v + (difference[m] or 0.0) for v in column if v] for m, column in before.items()}
    found = refusal(rows(after, before), "before", "after", predicted)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(("after", "reason"), [(0.8, None), (1.2, "lost more than noise in STFT"), (1.0, "no score")])
def test_what_is_above_the_mel_must_come_nearer_to_the_recording(after, reason):
    scores = rows({"pesq": [3.0] * 3, "stft_distance": [after] * 3}, {"pesq": [3.0] * 3, "stft_distance": [1.0] * 3})
    found = refusal(scores, "before", "after", predicted=False, judges=NOISE_ABOVE_MEL)
    assert found is None if reason is None else reason in str(found)


def test_audio_without_scores_is_rejected():
    found = rows({"pesq": [3.5, None]}, {"pesq": [3.0, 3.2]})
    assert "could not be scored" in str(refusal(found, "before", "after", predicted=False))
