"""Durations from Kokoro's graph: every sample belongs to a phoneme."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recipes.acoustic.durations import UNIT, Spoken, TimedVoice, trimmed, with_durations
from training.corpora.corpus import CorpusError


class Fake:
    """Two units for each token, loud from `first` to `last`."""

    def __init__(self, first: int, last: int, lacking: int = 0) -> None:
        self.first, self.last, self.lacking = first, last, lacking

    def run(self, output_names: None, feeds: dict[str, np.ndarray]) -> Any:
        count = feeds["tokens"].shape[1]
        durations = np.full(count, 20.0, np.float32)
        x = np.zeros(20 * UNIT * count - self.lacking, np.float32)
        x[self.first : self.last] = 0.5
        return [x[None], durations, np.arange(40.0 * count)[None]]


def graph(*names: str) -> bytes:
    """A graph whose hidden tensors have these names."""
    nodes, before = [], "x"
    for name in names:
        nodes.append(helper.make_node("Neg", [before], [name]))
        before = name
    nodes.append(helper.make_node("Identity", [before], ["audio"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "audio")]
    model: bytes = helper.make_model(helper.make_graph(nodes, "toy", ends[:1], ends[1:])).SerializeToString()
    return model


def test_hidden_tensors_become_outputs() -> None:
    names = ("/encoder/Clip_output_0", "/encoder/Squeeze_output_0")
    changed = onnx.load_from_string(with_durations(graph(*names)))
    assert [output.name for output in changed.graph.output] == ["audio", *names]


def test_another_graph_is_refused() -> None:
    with pytest.raises(CorpusError, match="no tensor /encoder/Squeeze"):
        with_durations(graph("/encoder/Clip_output_0"))


def test_silence_at_the_ends_is_cut_at_whole_units() -> None:
    voice = TimedVoice(Fake(first=9 * UNIT + 10, last=70 * UNIT), {"a": 3, "b": 4})
    spoken = voice.speak("a?b", np.zeros(256, np.float32), 1.0)
    assert spoken.tokens.tolist() == [0, 3, 4, 0]
    # A tenth of a second is four units: five go before the sound at 9 units, and the last six of eighty after it.
    assert spoken.durations.tolist() == [15, 20, 20, 14]
    assert len(spoken.x) == UNIT * 69
    assert np.flatnonzero(spoken.x)[0] == 4 * UNIT + 10
    assert spoken.pitch[0] == 2 * 5
    assert len(spoken.pitch) == 2 * 69


def test_no_phoneme_vanishes_and_silence_stays() -> None:
    voice = TimedVoice(Fake(first=30 * UNIT, last=31 * UNIT), {"a": 3})
    assert voice.speak("a", np.zeros(256, np.float32), 1.0).durations.tolist() == [1, 20, 1]
    silent = Spoken(np.zeros(UNIT, np.float32), np.array([0]), np.array([1]), np.zeros(2, np.float32))
    assert trimmed(silent) is silent


def test_durations_that_do_not_add_up_are_refused() -> None:
    voice = TimedVoice(Fake(first=9, last=99, lacking=1), {"a": 3})
    with pytest.raises(CorpusError, match="durations of 60 units need 36000 samples"):
        voice.speak("a", np.zeros(256, np.float32), 1.0)
    with pytest.raises(CorpusError, match="2 phonemes need as many durations"):
        Spoken(np.zeros(0, np.float32), np.array([0, 0]), np.array([1]), np.zeros(2, np.float32))
