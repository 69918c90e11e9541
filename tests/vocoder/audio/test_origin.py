"""Files say where their audio comes from, and what they say is read back."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from vocoder.audio.file import AUDIO_FORMATS, audio_info, read_audio, write_audio
from vocoder.audio.origin import Origin

RATE = 24000
X = (0.3 * np.sin(np.arange(RATE) * 0.05)).astype(np.float32)
ORIGIN = Origin('räume, "zwei"\n', "1.2.3", 2**63 - 1)


@pytest.mark.parametrize("name", AUDIO_FORMATS)
def test_every_format_keeps_it(name):
    marked, plain = io.BytesIO(), io.BytesIO()
    write_audio(marked, X, RATE, format=name, origin=ORIGIN)
    write_audio(plain, X, RATE, format=name)
    info = audio_info(marked.seek(0) or marked)
    assert (info.origin, info.sample_rate, info.channels) == (ORIGIN, RATE, 1)
    assert name == "mp3" or info.program.startswith("flow-vocoder 1.2.3")
    assert audio_info(plain.seek(0) or plain).origin is None
    np.testing.assert_array_equal(read_audio(marked)[0], read_audio(plain)[0])


@given(st.text(), st.text(), st.none() | st.integers(0, 2**63 - 1), st.booleans(), st.none() | st.just("float32"))
def test_there_and_back(model, version, seed, synthetic, dtype):
    origin = Origin(model, version, seed, synthetic, dtype)
    assert origin.to_json().isascii()
    assert "\n" not in origin.to_json()
    assert Origin.of_json(origin.to_json()) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "recorded at home",
        "[1]",
        "null",
        "{}",
        '{"model": 3, "version": "1", "synthetic": true}',
        '{"model": "a", "version": "1", "synthetic": "yes"}',
        '{"model": "a", "version": "1", "synthetic": true, "seed": "1"}',
        '{"model": "a", "version": "1", "synthetic": true, "dtype": 1}',
    ],
)
def test_other_comments_say_nothing(text):
    assert Origin.of_json(text) is None


def test_who_else_wrote_a_file_is_told(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.wav", "w", RATE, 1) as file:
        file.comment = "recorded at home"
        file.write(X)
    info = audio_info(tmp_path / "x.wav")
    assert (info.container, info.encoding, info.origin, info.program) == ("WAV", "PCM_16", None, None)
