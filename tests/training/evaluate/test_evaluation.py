import os
import pickle
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from evaluation_corpus import RATE, NoiseVocoder, voice, write_corpus, write_recordings

from training.corpora.manifest import Entry, Manifest, ManifestError, read_manifest
from training.corpora.mapping import mapped
from training.evaluate.candidates import Candidate, griffin_lim, of_vocoder
from training.evaluate.evaluation import evaluate, score, synthesized
from training.evaluate.metric import Metric, MetricUndefinedError
from training.evaluate.metrics import METRICS
from training.evaluate.options import Comparison
from training.evaluate.recordings import Recording, left_out, recordings
from vocoder.command_line import CommandError
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import mel_of

NVIDIA = preset("nvidia")
TRUTH = Candidate("ground truth", NVIDIA)


def metric(name, measure, package=None):
    return Metric(name, name, 2, "a test", "higher", measure, package)


LEVEL = metric("level", lambda reference, generated, sample_rate: float(np.std(generated)))


def recording(seconds=0.5, name="a", path="0", corpus="c", split="train"):
    entry = Entry(path, corpus, name, split, seconds, RATE, "none")
    return Recording(Manifest(Path(), (entry,)), entry, name, voice(120.0, seconds, seed=int(path)))


def test_missing_scores_have_a_reason():
    x, undefined = voice(120.0, 0.2), Mock(side_effect=MetricUndefinedError("not defined here"))
    values, problems = score([LEVEL, metric("absent", undefined), metric("infinite", lambda *_: np.inf)], RATE, x, x)
    assert values == {"level": pytest.approx(np.std(x)), "absent": None, "infinite": None}
    assert problems == {"absent": "not defined here", "infinite": "it came out as inf"}
    broken = np.where(np.arange(len(x)) == 7, np.nan, x)
    assert score([LEVEL], RATE, x, broken)[1] == {"level": "the generated audio is not finite"}


def test_tasks_and_results_of_processes_can_be_pickled():
    x = voice(120.0, 0.1)
    task = partial(score, tuple(m for m in METRICS if m.name == "stft_distance"), RATE)
    copied = pickle.loads(pickle.dumps(task))
    assert pickle.loads(pickle.dumps(copied(x, 0.5 * x))) == task(x, 0.5 * x)
    with pytest.raises(ValueError, match="at least 1 process"):
        mapped(task, [], 0, "")
    with pytest.raises(CommandError, match="one of 2 processes was killed"):
        mapped(os._exit, [1, 1], 2, "")


def test_audio_is_cut_or_padded_to_the_recording_and_timed():
    given = recording()
    x, seconds = synthesized(of_vocoder(NoiseVocoder(), "noise", Comparison(sigma=0.5, seed=3)), given)
    assert (x.shape, seconds > 0) == (given.x.shape, True)
    np.testing.assert_array_equal(x, NoiseVocoder().synthesize(np.zeros((80, 44)), sigma=0.5, seed=3)[: len(x)])
    assert synthesized(TRUTH, given) == (given.x, None)
    short = Recording(given.manifest, given.entry, "a", given.x[:10_000])  # 39 whole hops
    x, _ = synthesized(Candidate("ones", preset("hifigan"), lambda mel: np.ones(mel.shape[1] * 256, np.float32)), short)
    assert x.tolist() == [1.0] * (39 * 256) + [0.0] * (10_000 - 39 * 256)
    with pytest.raises(ValueError, match="short must synthesize"):
        synthesized(Candidate("short", NVIDIA, lambda mel: np.ones(mel.shape[1] * 255, np.float32)), short)


def test_rows_follow_the_recordings_and_the_first_audio_of_each_voice_is_kept():
    recordings = [recording(0.5), recording(0.6, path="1"), recording(0.7, "b", "2")]
    model = of_vocoder(NoiseVocoder(), "noise", Comparison(sigma=0.3))
    rows, audio = evaluate(model, recordings, [LEVEL])
    assert [(row.path, row.voice) for row in rows] == [(r.entry.path, r.voice) for r in recordings]
    assert [row.seconds for row in rows] == pytest.approx([0.5, 0.6, 0.7], abs=1e-3)
    assert all(row.values["level"] == pytest.approx(0.3, rel=0.05) for row in rows)
    assert all(row.synthesis_seconds is not None for row in rows)
    assert {path: len(x) for path, x in audio.items()} == {r.entry.path: len(r.x) for r in recordings[::2]}
    assert list(evaluate(model, recordings, [LEVEL], examples=2)[1]) == ["0", "1", "2"]


def test_a_voice_is_unseen_unless_the_model_was_trained_on_it():
    """The provenance decides, not the manifest, which may differ from the model's."""
    new, old = recording(0.5, "new", "0", "mine", "test"), recording(0.5, "old", "1", "theirs")
    tuned, foreign = NoiseVocoder("tuned"), NoiseVocoder("foreign")
    tuned.provenance = {"data": [{"corpus": "mine", "licence": "CC0-1.0", "speakers": ["new"]}]}

    def seen(candidate):
        return [row.seen for row in evaluate(candidate, [new, old], [LEVEL])[0]]

    assert seen(of_vocoder(tuned, "tuned", Comparison())) == [True, False]
    # without provenance the manifest decides
    assert (seen(of_vocoder(foreign, "foreign", Comparison())), seen(TRUTH)) == ([False, True], [True, True])


def test_only_test_utterances_in_range_are_read_and_sorted_by_voice(tmp_path):
    manifest = read_manifest(write_corpus(tmp_path))
    found = recordings(manifest, Comparison(0.5, 9.0))
    assert [r.entry.path for r in found] == ["4.flac", "5.flac", "1.flac", "2.flac"]
    trained = [(r.voice, r.entry.speaker in r.manifest.trained_speakers) for r in found]
    assert trained == [("high", False)] * 2 + [("low", True)] * 2
    np.testing.assert_allclose(found[2].x, voice(110.0, 1.0, seed=1), atol=2**-15)
    assert (found[2].at(16000).shape, found[2].seconds) == ((16000,), 1.0)
    assert left_out(manifest, Comparison(1.15, 9.0)) == ["high"]
    assert left_out(manifest, Comparison(1.15, 9.0, by="corpus")) == []
    with pytest.raises(ManifestError, match="no test utterance"):
        recordings(manifest, Comparison(2.5, 9.0))


def test_limited_selections_are_spread_evenly(tmp_path):
    plan = [("many", speaker) for speaker in "abc" for _ in range(4)] + [("one", "d")] * 2
    fields = [{"corpus": corpus, "speaker": speaker, "split": "test"} for corpus, speaker in plan]
    manifest = write_recordings(tmp_path, *((voice(120.0, 0.5, seed=i), entry) for i, entry in enumerate(fields)))
    found = recordings(manifest, Comparison(0.5, by="corpus"))
    assert [r.voice for r in found] == ["many"] * 12 + ["one"] * 2
    assert sorted({f"{r.entry.corpus} {r.entry.speaker}" for r in found}) == ["many a", "many b", "many c", "one d"]
    assert [r.voice for r in recordings(manifest, Comparison(0.5))] == [*"aaaabbbbcccc", "d", "d"]

    def chosen(**bounds):
        return [int(Path(r.entry.path).stem) for r in recordings(manifest, Comparison(0.5, by="corpus", **bounds))]

    assert (chosen(per_speaker=2), chosen(limit=3)) == ([1, 3, 5, 7, 9, 11, 12, 13], [2, 6, 10, 12, 13])
    assert (chosen(limit=1, per_speaker=1), chosen(per_speaker=100)) == ([6, 13], list(range(14)))


@pytest.mark.parametrize("name", ["hifigan", "espnet", "tacotron2-tf", "vocos"])
def test_griffin_lim_inverts_mels_of_every_preset(name):
    """With the right logarithm, power and framing, 60 iterations come close to the original mel."""
    config = preset(name)
    unit = {"ln": 1.0, "log10": np.log(10.0), "db20": 100.0 / 8.0 * np.log(10.0) / 20.0}[config.log]
    mel = mel_of(voice(150.0, 1.0), config)
    generated = griffin_lim(config, mel, 60)
    assert (generated.shape, generated.dtype) == ((mel.shape[1] * config.hop_length,), np.float32)
    assert np.abs(mel_of(generated, config)[:, : mel.shape[1]] - mel).mean() * unit < 0.35
