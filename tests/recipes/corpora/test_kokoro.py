"""Synthetic speech: the same command gives the same, a style is kept out, only what is missing is made."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from recipes.__main__ import main
from recipes.corpora import fortunes, kokoro
from recipes.corpora.kokoro import PLANS, planned
from recipes.corpora.kokoro_voice import UNIT, Spoken
from training.corpora.corpus import CorpusError, split_recordings
from training.corpora.manifest import read_manifest

TEXTS = {
    language: tuple(f"{language} sentence {n} of the made texts." for n in range(400)) for language in ("de", "es")
}


class FakeVoice:
    """Speaks noise, and remembers what was asked."""

    def __init__(self):
        self.asked = []

    def speak(self, said, weights, speed):
        self.asked.append((said, weights, speed))
        x = 0.1 * np.random.default_rng(len(said)).standard_normal(20 * UNIT)
        return Spoken(x.astype(np.float32), np.zeros(1), np.array([20]), np.zeros(40), np.zeros(256))


@pytest.fixture
def voice(monkeypatch):
    fake = FakeVoice()
    monkeypatch.setattr(kokoro, "start_voice", lambda: fake)
    monkeypatch.setattr(kokoro, "phonemes", lambda text, language: f"{language}: {text}")
    return fake


@pytest.mark.parametrize("name", ["kokoro", "mixtures", "evaluation"])
def test_the_plan_follows_from_the_command_and_a_longer_one_begins_with_the_shorter(name):
    plan = PLANS[name]
    short, long = planned(plan, 2, TEXTS), planned(plan, 12, TEXTS)
    assert long[: len(short)] == short == planned(plan, 2, TEXTS)
    assert 120 <= sum(u.seconds for u in short) < 130
    assert plan.speeds[0] <= min(u.speed for u in long) < max(u.speed for u in long) <= plan.speeds[1]
    assert len({(u.language, u.text) for u in long}) == len(long)


def test_kept_out_voice_and_sentences_meet_no_others(tmp_path):
    found = {name: planned(plan, 10, TEXTS) for name, plan in PLANS.items()}
    for name, utterances in found.items():
        styles = {style for u in utterances for style, weight in u.weights if weight}
        assert (styles == {kokoro.KEPT_OUT}) if PLANS[name].kept_out else (kokoro.KEPT_OUT not in styles)
    texts = {name: {u.text for u in utterances} for name, utterances in found.items()}
    assert len(found["kokoro-unseen"]) == 40
    assert not texts["kokoro-unseen"] & (texts["kokoro"] | texts["mixtures"] | texts["evaluation"])
    assert not texts["evaluation"] & texts["mixtures"]
    splits = {
        name: {split for _, split in split_recordings(kokoro.describe(name, found[name], tmp_path))}
        for name in ("kokoro", "kokoro-unseen")
    }
    assert splits == {"kokoro": {"train", "test"}, "kokoro-unseen": {"test"}}


@pytest.mark.parametrize(("name", "speakers", "turns", "least"), [("kokoro", 28, 1, 0.3), ("mixtures", 68, 6, 0.5)])
def test_every_voice_speaks_in_turn_and_low_ones_are_no_rarity(name, speakers, turns, least):
    voices = PLANS[name].voices()
    counts = Counter(speaker for speaker, _ in voices)
    assert len(counts) == speakers
    assert counts.pop("kokoro-jm_kumo") == turns
    assert set(counts.values()) == {1}
    assert all(sum(dict(weights).values()) == pytest.approx(1.0, abs=2e-3) for _, weights in voices)
    assert least < np.mean([dict(weights).get("jm_kumo", 0.0) for _, weights in voices]) < 0.7


def test_whatever_changes_the_sound_changes_the_file_name():
    first = planned(PLANS["kokoro"], 1, TEXTS)[0]
    changes = ({}, {"speed": 1.0}, {"text": "Other."}, {"language": "pl"}, {"weights": (("jm_kumo", 1.0),)})
    assert len({kokoro.Utterance(**{**vars(first), **change}).name for change in changes}) == 5


def test_only_what_is_missing_is_spoken(voice, tmp_path):
    plan = planned(PLANS["kokoro"], 1, TEXTS)
    made = list(kokoro.synthesise(plan, tmp_path, jobs=1))
    assert [path.name for path in made] == [u.name for u in plan]
    first = {path: path.read_bytes() for path in made}
    made[3].unlink()
    made[5].rename(made[5].with_name(made[5].name + ".partial"))
    voice.asked.clear()
    assert sorted(kokoro.synthesise(plan, tmp_path, jobs=1)) == sorted(made)
    assert voice.asked == [(f"{u.language}: {u.text}", u.weights, u.speed) for u in (plan[3], plan[5])]
    assert {path: path.read_bytes() for path in made} == first
    assert soundfile.info(made[0]).samplerate == 24000


def test_impossible_wishes_are_refused():
    for minutes, text in ((0, "minutes must be positive"), (600, "suffice for")):
        with pytest.raises(CorpusError, match=text):
            planned(PLANS["kokoro"], minutes, TEXTS)


def test_the_command_synthesises_and_marks_the_speech(voice, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fortunes, "sentences", lambda language, cache: TEXTS["de"])
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = ["prepare", "kokoro", "--minutes", "0.5", "-o", str(out), "--cache", str(cache), "--jobs", "1"]
    assert main(arguments) == 0
    assert "kokoro-jm_kumo" in capsys.readouterr().out
    entries = read_manifest(out).entries
    assert all(e.synthetic and e.use == "train" and e.licence == "Apache-2.0" for e in entries)
    assert {e.bandwidth for e in entries} == {11025.0}
    spoken = len(voice.asked)
    assert main(arguments) == 0
    assert len(voice.asked) == spoken == len(entries)
