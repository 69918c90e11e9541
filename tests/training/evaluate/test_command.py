from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_corpus import NoiseVocoder, WhiteModel, write_corpus
from given_mels import write_given

from training.commands import evaluate as command
from training.corpora.manifest import ManifestError
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from vocoder.mel.config import preset


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def fake_loader(name: str) -> NoiseVocoder:
    return NoiseVocoder(Path(name).name, WhiteModel(0.1) if "dense" in name else None)


def test_models_and_baselines_share_one_report(tmp_path: Path, monkeypatch, capsys) -> None:
    cheap = tuple(m for m in METRICS if m.name in ("stft_distance", "mcd_db", "stoi"))
    monkeypatch.setattr(command, "METRICS", cheap)
    words = ["--manifest", str(write_corpus(tmp_path)), "-o", str(tmp_path / "out"), "--jobs", "1", "--nats"]
    words += ["--min-seconds", "0.5", "--limit", "1", "--with-griffin-lim"]
    assert command.evaluate_all(arguments("runs/a/dense", "runs/a/last", "runs/b/last", *words), fake_loader) == 0
    printed = capsys.readouterr().out
    assert "runs/a/last has no density" in printed
    everything = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    found = {(s["voice"], s["candidate"]): s["means"] for s in everything["summaries"]}
    names = ("ground truth", "Griffin-Lim", "dense", "runs/a/last", "runs/b/last")
    assert set(found) == {(voice, name) for voice in ("low", "high") for name in names}
    for voice in ("low", "high"):
        distances = [found[voice, name]["stft_distance"] for name in names]
        assert distances[0] == 0 < distances[1] < distances[2]
        assert found[voice, "dense"]["nats"] is not None
        assert "nats" not in found[voice, "Griffin-Lim"]
        assert (tmp_path / "out" / f"spectrogram-{voice}.png").stat().st_size > 10_000
    page = (tmp_path / "out" / "listening.html").read_text()
    assert page.count("<audio") == 2 * len(names)
    blind = json.loads((tmp_path / "out" / "blind-key.json").read_text())
    assert {what["candidate"] for what in blind.values()} == {"hidden reference", "anchor, 3.5 kHz", *names[1:]}
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert set(quality) == set(names[2:])
    assert set(quality["dense"]["baselines"]) == set(names[:2])
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 4
    assert set(everything["missing"]) == set(split_by_package(cheap)[1])


def test_baselines_alone_need_no_model(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "METRICS", tuple(m for m in METRICS if m.name == "stft_distance"))
    store = tmp_path / "kept"
    words = ["--manifest", str(write_corpus(tmp_path)), "-o", str(tmp_path / "out"), "--store", str(store)]
    assert command.run(arguments(*words, "--jobs", "1", "--min-seconds", "0.5", "--voice", "low")) == 0
    assert json.loads((tmp_path / "out" / "quality.json").read_text()) == {}
    assert len(list(store.iterdir())) == 2
    assert "ground truth" in capsys.readouterr().out


def test_wrong_arguments_are_errors_that_say_so(tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out"), "--jobs", "1"]
    manifest = ["--manifest", str(write_corpus(tmp_path)), "--min-seconds", "0.5"]
    with pytest.raises(ManifestError, match="no manifest at"):
        command.run(arguments("--manifest", str(tmp_path / "none.jsonl"), *out))
    with pytest.raises(ValueError, match="a/last is given twice"):
        command.evaluate_all(arguments("a/last", "a/last", *manifest, *out), fake_loader)
    with pytest.raises(ValueError, match="limit"):
        command.run(arguments(*manifest, *out, "--limit", "0"))
    with pytest.raises(ValueError, match="--listen takes a number"):
        command.run(arguments(*manifest, *out, "--listen", "-1"))
    with pytest.raises(ValueError, match="at least 1 process"):
        command.run(arguments(*manifest, "-o", str(tmp_path / "out"), "--jobs", "0"))


def test_smoothed_mels_and_rows_by_corpus(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "METRICS", tuple(m for m in METRICS if m.name == "band_db"))
    words = ["last", "--manifest", str(write_corpus(tmp_path)), "--jobs", "1", "--min-seconds", "0.5", "--smooth"]
    words += ["-o", str(tmp_path / "out"), "--by", "corpus", "--per-speaker", "1", "--with-griffin-lim"]
    assert command.evaluate_all(arguments(*words), fake_loader) == 0
    everything = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [(s["voice"], s["utterances"]) for s in everything["summaries"]] == [("synthetic", 2)] * 3
    assert everything["settings"]["mels"] == "smoothed along time and bands"
    assert everything["settings"]["per_speaker"] == 1
    assert "held-out utterances of each corpus" in (tmp_path / "out" / "report.md").read_text()
    assert "8-11 kHz dB" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--nats are of true mels"):
        command.evaluate_all(arguments(*words, "--nats"), fake_loader)


class ListeningVocoder(NoiseVocoder):
    """Speaks noise whose level is that of the mel, so that scores tell which mel it heard."""

    def synthesize(self, mel, **options):
        return super().synthesize(mel, sigma=0.01 if float(mel.max()) < -6 else 0.1, seed=0)


def test_the_manifest_s_mels_are_spoken_and_the_report_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "METRICS", tuple(m for m in METRICS if m.name == "stft_distance"))
    path = write_corpus(tmp_path)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    np.save(tmp_path / "quiet.npy", np.full((80, int(1.2 * 22050) // 256), -8.0, np.float32))
    entries[2]["mel"] = "quiet.npy"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    words = ["last", "--manifest", str(path), "--jobs", "1", "--min-seconds", "0.5", "--with-griffin-lim"]
    words += ["--voice", "low", "--store", str(tmp_path / "kept")]

    def distances(*more: str) -> dict[tuple[str, str], float]:
        args = arguments(*words, "-o", str(tmp_path / "out"), *more)
        assert command.evaluate_all(args, lambda name: ListeningVocoder(name)) == 0
        everything = json.loads((tmp_path / "out" / "evaluation.json").read_text())
        assert everything["settings"]["given_mels"] == (None if more else "1 of 2")
        return {(row["candidate"], row["path"]): row["values"]["stft_distance"] for row in everything["utterances"]}

    with_given = distances()
    assert "the mels that the manifest names were spoken, not the recordings' own: 1 of 2" in capsys.readouterr().out
    own = distances("--own-mels")
    assert "were spoken" not in capsys.readouterr().out
    differing = {key for key in own if own[key] != with_given[key]}
    assert differing == {("last", "2.flac"), ("Griffin-Lim", "2.flac")}


def test_predicted_mels_stand_beside_true_ones(tmp_path: Path, monkeypatch) -> None:
    """A model has a row on each; it hears the mels that the manifest names in the second one alone."""
    monkeypatch.setattr(command, "METRICS", tuple(m for m in METRICS if m.name == "band_db"))
    manifest = write_given(tmp_path, preset("nvidia"), [("test", 22050, True), ("test", 25000, True)])
    heard = []

    class Listening(NoiseVocoder):
        def synthesize(self, mel, **options):
            heard.append(bool(np.ptp(mel[:, 0]) == 0))  # each numbered frame is one value
            return super().synthesize(mel, **options)

    words = ["last", "--predicted", str(manifest.root), "-o", str(tmp_path / "out"), "--jobs", "1", "--nats"]
    words += ["--min-seconds", "0.5", "--with-griffin-lim"]
    assert command.evaluate_all(arguments(*words), lambda name: Listening(name, WhiteModel(0.1))) == 0
    everything = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    names = ["ground truth", "Griffin-Lim", "Griffin-Lim, predicted mels", "last", "last, predicted mels"]
    assert [(s["candidate"], s["utterances"]) for s in everything["summaries"]] == [(name, 2) for name in names]
    assert heard == [False] * 3 + [True] * 3  # the first is spoken twice, to warm up
    assert everything["settings"]["mels"] == "the recordings' own, and predicted by an acoustic model"
    with_nats = {s["candidate"] for s in everything["summaries"] if "nats" in s["means"]}
    assert with_nats == {"last"}


def test_predicted_mels_must_be_there_and_alone(tmp_path: Path) -> None:
    manifest = write_given(tmp_path, preset("nvidia"), [("test", 22050, True), ("test", 25000, False)])
    words = ["--predicted", str(manifest.root), "-o", str(tmp_path / "out"), "--min-seconds", "0.5"]
    with pytest.raises(ValueError, match=r"1 of 2 recordings of .* have no predicted mel, 1.flac among them"):
        command.evaluate_all(arguments(*words), fake_loader)
    with pytest.raises(ValueError, match="leave out --smooth and --own-mels"):
        command.evaluate_all(arguments(*words, "--smooth"), fake_loader)
    with pytest.raises(SystemExit):
        arguments(*words, "--manifest", str(manifest.root))
