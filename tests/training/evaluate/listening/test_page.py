from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from training.evaluate.evaluation import Row
from training.evaluate.listening.page import listening_page, write_pages
from training.evaluate.listening.utterance import Clip, Utterance
from training.evaluate.metric import Metric
from training.evaluate.report import Report

METRICS = (Metric("good", "Good", "higher", 2, lambda *_: 0.0, "goodness"),)
ROWS = [
    Row(name, "a.flac", "voice", True, 4.0, {"good": good}, {}, None)
    for name, good in (("recording", 4.0), ("<b>ours</b>", 3.0))
]
REPORT = Report({"seed": 0, "limit": None}, ROWS, METRICS, {}, ["<b>ours</b>"])


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def utterance() -> Utterance:
    rng = np.random.default_rng(0)
    x, y = (0.1 * rng.standard_normal((2, 4000))).astype(np.float32)
    return Utterance("voice", "a.flac", 22050, Clip("recording", x), [Clip("<b>ours</b>", y)])


def test_there_is_a_player_a_spectrogram_and_a_difference_of_each_candidate() -> None:
    page = listening_page(REPORT, [utterance()])
    tags = Tags(page)
    assert tags.of("link") == []  # it needs no network
    assert all("src" not in attributes for attributes in tags.of("script"))
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    sources = [attributes["src"] or "" for attributes in tags.of("audio")]
    assert len(sources) == len(set(sources)) == 2
    assert all(source.startswith("data:audio/flac;base64,") for source in sources)
    pictures = {attributes["alt"]: attributes["src"] or "" for attributes in tags.of("img")}
    assert list(pictures) == [
        "Spectrogram of recording, 0 to 11.0 kHz",
        "Spectrogram of <b>ours</b>, 0 to 11.0 kHz",
        "Difference of <b>ours</b> to the recording",
    ]
    assert all(source.startswith("data:image/png;base64,") for source in pictures.values())
    assert len(tags.of("article")) == 1


def test_scores_of_rows_and_utterances_are_there_and_names_are_escaped() -> None:
    page = listening_page(REPORT, [])
    assert "<b>" not in page
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert cells[:5] == ["voice", "recording", "1", "4.00", "-"]
    assert cells[-5:] == ["voice", "&lt;b&gt;ours&lt;/b&gt;", "a.flac", "3.00", "-"]
    assert len(Tags(page).of("table")) == 2
    assert "higher is better" in page
    assert "limit" not in page


def test_files_depend_on_what_there_is_to_hear(tmp_path: Path) -> None:
    assert [path.name for path in write_pages(REPORT, [], tmp_path)] == ["listening.html"]
    paths = write_pages(REPORT, [utterance()], tmp_path)
    assert [path.name for path in paths] == ["listening.html", "blind.html", "blind-key.json"]
    assert paths[1].stat().st_size > 10_000
    key = json.loads(paths[2].read_text(encoding="utf-8"))
    assert "<b>ours</b>" in {what["candidate"] for what in key.values()}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_numbers_sort_as_numbers_and_what_is_absent_stays_last() -> None:
    source = (files("training.evaluate.listening") / "templates" / "sorting.js").read_text(encoding="utf-8")
    script = """
const sorted = (cells, direction) => [...cells].sort((a, b) => ordered(a, b, direction));
console.log(JSON.stringify([
  sorted(["10", "-", "9.5*", "-3"], 1), sorted(["10", "-", "9.5*", "-3"], -1), sorted(["b", "a", "c"], -1)
]));
"""
    done = subprocess.run(["node", "-e", source + script], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [["-3", "9.5*", "10", "-"], ["10", "9.5*", "-3", "-"], ["c", "b", "a"]]
