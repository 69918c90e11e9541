import base64
import io
import json
import re
import shutil
import subprocess
from html import unescape
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from training.evaluate import listening as pages
from training.evaluate.evaluation import Row
from training.evaluate.metric import Metric
from training.evaluate.report import Report

METRICS = (Metric("good", "Good", 2, "goodness", "higher", lambda *_: 0.0),)
ROWS = [
    Row(name, "a.flac", "voice", True, 4.0, {"good": good}, {}, None)
    for name, good in (("recording", 4.0), ("<b>ours</b>", 3.0))
]
REPORT = Report({"seed": 0, "limit": None}, ROWS, METRICS, {}, {"<b>ours</b>": None})
RATE = 22050


def attributes(page, tag, name):
    return [unescape(value) for value in re.findall(rf'<{tag}\b[^>]*\s{name}="([^"]*)"', page)]


def test_each_candidate_has_a_player_a_spectrogram_and_a_difference():
    x, y = (0.1 * np.random.default_rng(0).standard_normal((2, 4000))).astype(np.float32)
    page = pages.listening_page(REPORT, {"voice, a.flac": {"recording": x, "<b>ours</b>": y}}, RATE)
    assert "<link" not in page  # works offline
    assert attributes(page, "script", "src") == []
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    sources = attributes(page, "audio", "src")
    assert len(sources) == len(set(sources)) == 2
    assert all(source.startswith("data:audio/flac;base64,") for source in sources)
    assert attributes(page, "img", "alt") == [
        "Spectrogram of recording, 0 to 11.0 kHz",
        "Spectrogram of <b>ours</b>, 0 to 11.0 kHz",
        "Difference of <b>ours</b> to the recording",
    ]
    assert all(source.startswith("data:image/png;base64,") for source in attributes(page, "img", "src"))
    assert page.count("<article") == 1


def test_scores_of_rows_and_utterances_are_shown_and_names_escaped():
    page = pages.listening_page(REPORT, {}, RATE)
    assert "<b>" not in page
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert cells[:5] == ["voice", "recording", "1", "4.00", "-"]
    assert (cells[-5:], page.count("<table")) == (["voice", "&lt;b&gt;ours&lt;/b&gt;", "a.flac", "3.00", "-"], 2)
    assert "higher is better" in page
    assert "limit" not in page


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_numbers_are_sorted_numerically_and_missing_values_last():
    source = (files("training") / "templates" / "sorting.js").read_text(encoding="utf-8")
    script = """
const sorted = (cells, direction) => [...cells].sort((a, b) => ordered(a, b, direction));
console.log(JSON.stringify([
  sorted(["10", "-", "9.5*", "-3"], 1), sorted(["10", "-", "9.5*", "-3"], -1), sorted(["b", "a", "c"], -1)
]));
"""
    done = subprocess.run(["node", "-e", source + script], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [["-3", "9.5*", "10", "-"], ["10", "9.5*", "-3", "-"], ["c", "b", "a"]]


def payload(uri, media_type):
    head, data = uri.split(",")
    assert head == f"data:{media_type};base64"
    return io.BytesIO(base64.b64decode(data))


def tone(hertz, level=0.3):
    return (level * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def test_audio_is_embedded_with_16_bits_and_without_tags():
    x = tone(440.0)
    with soundfile.SoundFile(payload(pages.flac_uri(x, RATE), "audio/flac")) as file:
        assert (file.samplerate, file.copy_metadata()) == (RATE, {})
        assert np.abs(file.read(dtype="float32") - x).max() <= 1 / 32768


def test_a_tone_is_bright_at_its_frequency_and_differences_are_red_and_blue():
    original = tone(2756.25)
    image = imread(payload(pages.spectrogram_picture(original, original), "image/png"))
    picture = image[..., :3].mean(axis=(1, 2))
    assert len(picture) == 256
    assert abs(int(picture.argmax()) - (255 - 64)) <= 1  # 2756 Hz is at a quarter of the height
    assert picture[:128].max() < 0.2

    def colour(x):
        return imread(payload(pages.difference_picture(x, original), "image/png"))[255 - 64, 40, :3]

    assert colour(original).min() > 0.9
    louder, softer = colour(3 * original), colour(original / 3)
    assert louder[0] > louder[2] + 0.2
    assert softer[2] > softer[0] + 0.2
