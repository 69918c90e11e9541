import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from evaluation_corpus import NoiseVocoder, write_corpus, write_given

from training.cli import main
from training.commands.evaluate import unlike
from training.corpora import mapping
from training.evaluate import comparison
from training.evaluate.candidates import griffin_lim
from training.evaluate.comparison import compare
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.options import Comparison
from vocoder import loading
from vocoder.mel.config import preset

SHORT = {"min_seconds": 0.5}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    kept = tuple(metric for metric in METRICS if metric.name in ("stft_distance", "band_db"))
    monkeypatch.setattr(comparison, "METRICS", kept)
    monkeypatch.setattr(comparison, "griffin_lim", partial(griffin_lim, iterations=2))


def read(folder, name="evaluation.json"):
    return json.loads((folder / name).read_text())


def test_models_and_baselines_share_one_report_and_scoring_processes(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(mapping, "process_pool", lambda n, prepared: started.append(n) or ThreadPoolExecutor(n))
    models = {"a/last": NoiseVocoder(), "b/last": NoiseVocoder()}
    options = Comparison(min_seconds=0.5, limit=1, griffin_lim=True, jobs=3)
    report = compare(models, write_corpus(tmp_path), tmp_path / "out", options)
    assert started == [2]  # one per recording, so that its pitch is cached
    everything = read(tmp_path / "out")
    found = {(s["voice"], s["candidate"]): s["means"] for s in everything["summaries"]}
    names = ("ground truth", "Griffin-Lim", *models)
    assert set(found) == {(voice, name) for voice in ("low", "high") for name in names}
    for voice in ("low", "high"):
        distances = [found[voice, name]["stft_distance"] for name in names]
        assert distances[0] == 0 < distances[1] < distances[2]
    assert (tmp_path / "out" / "listening.html").read_text().count("<audio") == 2 * len(names)
    quality = read(tmp_path / "out", "quality.json")
    assert quality == {name: report.quality(name) for name in models}
    assert set(quality["a/last"]["baselines"]) == set(names[:2])
    assert set(everything["missing"]) == set(split_by_package(comparison.METRICS)[1])
    assert [row["values"] for row in everything["utterances"]] == [row.values for row in report.rows]


class LevelVocoder(NoiseVocoder):
    """Outputs noise with a level that depends on the mel, so that scores reveal which mel it got."""

    def synthesize(self, mel, **options):
        return super().synthesize(mel, sigma=0.01 if float(mel.max()) < -6 else 0.1, seed=0)


def test_mels_of_the_manifest_are_used_and_reported(tmp_path, capsys):
    path = write_corpus(tmp_path)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    np.save(tmp_path / "quiet.npy", np.full((80, int(1.2 * 22050) // 256), -8.0, np.float32))
    entries[2]["mel"] = "quiet.npy"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def distances(mels):
        options = Comparison(**SHORT, mels=mels, griffin_lim=True, listen=0)
        report = compare({"last": LevelVocoder()}, path, tmp_path / "out", options)
        assert report.settings["given_mels"] == (None if mels == "own" else "1 of 4")
        return {(row.candidate, row.path): row.values["stft_distance"] for row in report.rows}

    with_given = distances("given")
    printed = capsys.readouterr()
    assert "got the manifest's mels, not the recordings' own, for 1 of 4" in printed.out
    assert "scoring ground truth: " in printed.err  # progress is printed without a terminal too
    own = distances("own")
    assert "got the manifest's mels" not in capsys.readouterr().out
    assert {key for key in own if own[key] != with_given[key]} == {("last", "2.flac"), ("Griffin-Lim", "2.flac")}
    compare({"last": LevelVocoder()}, path, tmp_path / "out", Comparison(min_seconds=1.15, listen=0))
    assert "scoring 1 recording (" in capsys.readouterr().out


def test_predicted_mels_are_compared_with_true_ones_and_required(tmp_path):
    """A model has a row for each; only the second one uses the mels of the manifest."""
    manifest = write_given(tmp_path, preset("nvidia"), [("test", 22050, True), ("test", 25000, True)])
    got_predicted = []

    class RecordingVocoder(NoiseVocoder):
        def synthesize(self, mel, **options):
            got_predicted.append(bool(np.ptp(mel[:, 0]) == 0))  # numbered frames are constant
            assert options["sharpen"] == 0.25
            return super().synthesize(mel, **options)

    options = Comparison(**SHORT, mels="both", griffin_lim=True, sharpen=0.25, listen=0)
    report = compare({"last": RecordingVocoder()}, manifest.root, tmp_path / "out", options)
    names = ["ground truth", "Griffin-Lim", "Griffin-Lim, predicted mels", "last", "last, predicted mels"]
    assert [(s.candidate, s.utterances) for s in report.summaries()] == [(name, 2) for name in names]
    with pytest.raises(FileExistsError):
        compare({"last": RecordingVocoder()}, manifest.root, tmp_path / "out" / "report.md", options)
    assert got_predicted == [False] * 3 + [True] * 3  # the first is synthesized twice, as a warm-up
    assert report.settings["mels"] == "the recordings' own, and predicted by an acoustic model"
    assert report.settings["sharpen"] == 0.25
    manifest = write_given(tmp_path, preset("nvidia"), [("test", 22050, True), ("test", 25000, False)])
    with pytest.raises(ValueError, match=r"1 of 2 recordings of .* have no predicted mel, such as 1.flac"):
        compare({"last": NoiseVocoder()}, manifest.root, tmp_path / "out", Comparison(**SHORT, mels="both"))


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load", lambda reference, dtype, guard: NoiseVocoder(f"{reference} {dtype}"))
    return ["evaluate", "--manifest", str(write_corpus(tmp_path)), "-o", str(tmp_path / "out"), "--jobs", "1"]


def test_options_and_model_names_are_passed_to_the_comparison(command, monkeypatch):
    seen = {}
    monkeypatch.setattr(comparison, "compare", lambda models, *rest: seen.update(models=models, options=rest[-1]))
    more = ["--limit", "2", "--by", "corpus", "--own-mels", "--listen", "0", "--sigma", "0.5", "--sharpen", "0.25"]
    assert main([*command, "a/last", "b/last", *more, "--with-griffin-lim", "--dtype", "int8"]) == 0
    expected = Comparison(limit=2, by="corpus", mels="own", griffin_lim=True, sigma=0.5, sharpen=0.25, listen=0)
    loaded = {reference: model.name for reference, model in seen["models"].items()}
    assert (loaded, seen["options"]) == ({each: f"{each} int8" for each in ("a/last", "b/last")}, expected)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["a/last"], "a/last is given twice"),
        (["--limit", "0"], "limit must be at least 1"),
        (["--corrections", "1000", "--min-seconds", "0.5"], "corrections must be a whole number from 0 to 100"),
        (["--manifest", "none.jsonl"], "no manifest at none.jsonl"),
    ],
)
def test_invalid_arguments_are_rejected_with_a_reason(command, more, text, cli_error):
    at = command.index(more[0]) if more[0] in command else len(command)
    assert text in cli_error(main, *command[:at], *command[at + 2 :], "a/last", *more)


def test_predicted_mels_exclude_own_mels(command, cli_error):
    assert "leave out --own-mels" in cli_error(main, command[0], "a/last", "--predicted", *command[2:], "--own-mels")


def test_different_numbers_of_corrections_are_reported():
    for counts in ({}, {"wavenet": 0, "reverse": 12}, {"reverse": 12, "runs/mine": 12}):
        assert unlike(counts) is None
    message = str(unlike({"reverse": 12, "runs/mine": 5, "wavenet": 0}))
    assert "number of corrections: reverse 12 times, runs/mine 5 times; to compare" in message
