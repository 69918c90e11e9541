"""The synthetic corpus: the same command gives the same one, a style is kept out, only what is missing is made."""

import numpy as np
import pytest
import soundfile

from recipes.__main__ import main
from recipes.corpora import fortunes, kokoro
from recipes.corpora.kokoro_voice import KokoroFiles
from training.corpora.corpus import CorpusError, split_recordings
from training.corpora.manifest import read_manifest

TEXTS = {
    language: tuple(f"{language} sentence {n} of the made texts." for n in range(300)) for language in ("de", "es")
}


class FakeVoice:
    """Speaks noise that follows from the style, and remembers what was asked."""

    def __init__(self):
        self.asked = []

    def speak(self, said, style, speed):
        self.asked.append((said, round(float(style[0, 0]), 6), speed))
        rng = np.random.default_rng(len(said))
        return (0.1 * rng.standard_normal(12000)).astype(np.float32)


@pytest.fixture
def voice(monkeypatch, tmp_path):
    fake = FakeVoice()
    names = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
    styles = {name: np.full((510, 256), 10.0**place) for place, name in enumerate(names)}
    monkeypatch.setattr(kokoro, "locate_files", lambda: KokoroFiles(tmp_path, ()))
    monkeypatch.setattr(kokoro, "start_session", lambda files: fake)
    monkeypatch.setattr(kokoro, "read_styles", lambda files: styles)
    monkeypatch.setattr(kokoro, "phonemes", lambda text, language: f"{language}: {text}")
    return fake


def test_the_plan_follows_from_the_command_and_a_longer_one_begins_with_the_shorter():
    short, long = kokoro.plan("kokoro", 2, TEXTS), kokoro.plan("kokoro", 4, TEXTS)
    assert short == kokoro.plan("kokoro", 2, TEXTS)
    assert long[: len(short)] == short
    assert sum(u.seconds for u in short) == pytest.approx(120, abs=10)
    assert all(0.85 <= u.speed <= 1.2 for u in long)
    assert len({(u.language, u.text) for u in long}) == len(long)


def test_voices_are_four_styles_and_mixtures_of_them_that_sum_to_one():
    voices = kokoro.speakers("kokoro")
    assert len(voices) == 28
    assert all(sum(weight for _, weight in weights) == pytest.approx(1, abs=2e-3) for weights in voices.values())
    heard = {name for weights in voices.values() for name, weight in weights if weight}
    assert heard == {"jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo"}


def test_the_kept_out_style_speaks_other_sentences_and_is_all_test(tmp_path):
    seen, unseen = kokoro.plan("kokoro", 12, TEXTS), kokoro.plan("kokoro-unseen", 12, TEXTS)
    assert len(unseen) == 40
    assert {u.weights for u in unseen} == {((kokoro.KEPT_OUT, 1.0),)}
    assert not {u.text for u in seen} & {u.text for u in unseen}
    found = kokoro.describe("kokoro-unseen", unseen, tmp_path)
    assert {split for _, split in split_recordings(found)} == {"test"}
    assert found.synthetic
    assert {split for _, split in split_recordings(kokoro.describe("kokoro", seen, tmp_path))} == {"train", "test"}


def test_whatever_changes_the_sound_changes_the_file_name():
    first = kokoro.plan("kokoro", 1, TEXTS)[0]
    others = [
        kokoro.Utterance(**{**vars(first), **change})
        for change in ({"speed": 1.0}, {"text": "Other."}, {"language": "pl"}, {"weights": (("jm_kumo", 1.0),)})
    ]
    assert len({u.name for u in (first, *others)}) == 5


def test_only_what_is_missing_is_spoken(voice, tmp_path):
    planned = kokoro.plan("kokoro", 1, TEXTS)
    made = list(kokoro.synthesise(planned, tmp_path, jobs=1))
    assert [path.name for path in made] == [u.name for u in planned]
    first = {path: path.read_bytes() for path in made}
    made[3].unlink()
    made[5].rename(made[5].with_name(made[5].name + ".partial"))
    voice.asked.clear()
    assert sorted(kokoro.synthesise(planned, tmp_path, jobs=1)) == sorted(made)
    assert [speed for _, _, speed in voice.asked] == [planned[3].speed, planned[5].speed]
    assert {path: path.read_bytes() for path in made} == first
    assert soundfile.info(made[0]).samplerate == 24000


def test_a_mixture_weighs_its_styles(voice, tmp_path):
    mixed = next(u for u in kokoro.plan("kokoro", 3, TEXTS) if "mixture" in u.speaker)
    list(kokoro.synthesise((mixed,), tmp_path, jobs=1))
    place = {"jf_gongitsune": 10, "jf_nezumi": 100, "jf_tebukuro": 1000, "jm_kumo": 10000}
    expected = sum(weight * place[name] for name, weight in mixed.weights)
    assert voice.asked[0][1] == pytest.approx(expected)
    assert voice.asked[0][0].startswith(mixed.language)


def test_impossible_wishes_are_refused():
    with pytest.raises(CorpusError, match="unknown synthetic corpus 'x'"):
        kokoro.plan("x", 1, TEXTS)
    with pytest.raises(CorpusError, match="minutes must be positive"):
        kokoro.plan("kokoro", 0, TEXTS)
    with pytest.raises(CorpusError, match="suffice for"):
        kokoro.plan("kokoro", 600, TEXTS)


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
