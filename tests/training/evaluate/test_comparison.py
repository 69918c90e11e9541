from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_corpus import NoiseVocoder, WhiteModel, write_corpus
from given_mels import write_given

from training.evaluate import comparison
from training.evaluate.comparison import Comparison, compare
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import Selection
from vocoder.mel.config import preset

SHORT = Selection(min_seconds=0.5)
Found = Callable[..., dict[str, Any]]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def keep(*names: str) -> None:
        monkeypatch.setattr(comparison, "METRICS", tuple(metric for metric in METRICS if metric.name in names))

    return keep


def read(folder: Path, name: str = "evaluation.json") -> Any:
    return json.loads((folder / name).read_text())


def test_models_and_baselines_share_one_report(tmp_path: Path, only, capsys) -> None:
    only("stft_distance", "mcd_db", "stoi")
    models = {"dense": NoiseVocoder(model=WhiteModel(0.1)), "a/last": NoiseVocoder(), "b/last": NoiseVocoder()}
    options = Comparison(Selection(min_seconds=0.5, limit=1), griffin_lim=True, nats=True)
    report = compare(models, write_corpus(tmp_path), tmp_path / "out", options)
    printed = capsys.readouterr().out
    assert "a/last has no density" in printed
    everything = read(tmp_path / "out")
    found = {(s["voice"], s["candidate"]): s["means"] for s in everything["summaries"]}
    names = ("ground truth", "Griffin-Lim", *models)
    assert set(found) == {(voice, name) for voice in ("low", "high") for name in names}
    for voice in ("low", "high"):
        distances = [found[voice, name]["stft_distance"] for name in names]
        assert distances[0] == 0 < distances[1] < distances[2]
        assert found[voice, "dense"]["nats"] is not None
        assert "nats" not in found[voice, "Griffin-Lim"]
        assert (tmp_path / "out" / f"spectrogram-{voice}.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "listening.html").read_text().count("<audio") == 2 * len(names)
    blind = read(tmp_path / "out", "blind-key.json")
    assert {what["candidate"] for what in blind.values()} == {"hidden reference", "anchor, 3.5 kHz", *names[1:]}
    quality = read(tmp_path / "out", "quality.json")
    assert set(quality) == set(models)
    assert quality["dense"] == report.quality("dense")
    assert set(quality["dense"]["baselines"]) == set(names[:2])
    assert set(everything["missing"]) == set(split_by_package(comparison.METRICS)[1])
    assert [row["values"] for row in everything["utterances"]] == [row.values for row in report.rows]


def test_baselines_alone_need_no_model(tmp_path: Path, only, capsys) -> None:
    only("stft_distance")
    compare({}, write_corpus(tmp_path), tmp_path / "out", Comparison(SHORT, voices=["low"]))
    assert read(tmp_path / "out", "quality.json") == {}
    assert "ground truth" in capsys.readouterr().out


def test_smoothed_mels_and_rows_by_corpus(tmp_path: Path, only, capsys) -> None:
    only("band_db")
    selection = Selection(min_seconds=0.5, per_speaker=1, by="corpus")
    options = Comparison(selection, mels="smoothed", griffin_lim=True)
    compare({"last": NoiseVocoder()}, write_corpus(tmp_path), tmp_path / "out", options)
    everything = read(tmp_path / "out")
    assert [(s["voice"], s["utterances"]) for s in everything["summaries"]] == [("synthetic", 2)] * 3
    assert everything["settings"]["mels"] == "smoothed along time and bands"
    assert everything["settings"]["per_speaker"] == 1
    assert "held-out utterances of each corpus" in (tmp_path / "out" / "report.md").read_text()
    assert "8-11 kHz dB" in capsys.readouterr().out


class ListeningVocoder(NoiseVocoder):
    """Speaks noise whose level is that of the mel, so that scores tell which mel it heard."""

    def synthesize(self, mel, **options):
        return super().synthesize(mel, sigma=0.01 if float(mel.max()) < -6 else 0.1, seed=0)


def test_the_manifest_s_mels_are_spoken_and_the_report_says_so(tmp_path: Path, only, capsys) -> None:
    only("stft_distance")
    path = write_corpus(tmp_path)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    np.save(tmp_path / "quiet.npy", np.full((80, int(1.2 * 22050) // 256), -8.0, np.float32))
    entries[2]["mel"] = "quiet.npy"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def distances(mels) -> dict[tuple[str, str], float | None]:
        options = Comparison(SHORT, ["low"], mels=mels, griffin_lim=True)
        report = compare({"last": ListeningVocoder()}, path, tmp_path / "out", options)
        assert report.settings["given_mels"] == (None if mels == "own" else "1 of 2")
        return {(row.candidate, row.path): row.values["stft_distance"] for row in report.rows}

    with_given = distances("given")
    assert "the mels that the manifest names were spoken, not the recordings' own: 1 of 2" in capsys.readouterr().out
    own = distances("own")
    assert "were spoken" not in capsys.readouterr().out
    differing = {key for key in own if own[key] != with_given[key]}
    assert differing == {("last", "2.flac"), ("Griffin-Lim", "2.flac")}


def test_predicted_mels_stand_beside_true_ones(tmp_path: Path, only) -> None:
    """A model has a row on each; it hears the mels that the manifest names in the second one alone."""
    only("band_db")
    manifest = write_given(tmp_path, preset("nvidia"), [("test", 22050, True), ("test", 25000, True)])
    heard = []

    class Listening(NoiseVocoder):
        def synthesize(self, mel, **options):
            heard.append(bool(np.ptp(mel[:, 0]) == 0))  # each numbered frame is one value
            return super().synthesize(mel, **options)

    options = Comparison(SHORT, mels="both", griffin_lim=True, nats=True)
    report = compare({"last": Listening(model=WhiteModel(0.1))}, manifest.root, tmp_path / "out", options)
    names = ["ground truth", "Griffin-Lim", "Griffin-Lim, predicted mels", "last", "last, predicted mels"]
    assert [(s.candidate, s.utterances) for s in report.summaries()] == [(name, 2) for name in names]
    assert heard == [False] * 3 + [True] * 3  # the first is spoken twice, to warm up
    assert report.settings["mels"] == "the recordings' own, and predicted by an acoustic model"
    assert {s.candidate for s in report.summaries() if "nats" in s.means} == {"last"}


def test_predicted_mels_must_be_there(tmp_path: Path) -> None:
    manifest = write_given(tmp_path, preset("nvidia"), [("test", 22050, True), ("test", 25000, False)])
    with pytest.raises(ValueError, match=r"1 of 2 recordings of .* have no predicted mel, 1.flac among them"):
        compare({}, manifest.root, tmp_path / "out", Comparison(SHORT, mels="both"))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"examples": -1}, "--listen takes a number"), ({"mels": "smoothed", "nats": True}, "--nats are of true mels")],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Comparison(**options)
