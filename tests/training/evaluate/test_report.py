import json

import pytest

from training.evaluate.evaluation import Row
from training.evaluate.metric import Metric
from training.evaluate.report import Report, table, write_report

METRICS = (
    Metric("good", "Good", 2, "goodness", "higher", lambda *_: 0.0),
    Metric("rare", "Rare", 0, "rarity", "lower", lambda *_: 0.0),
    Metric("gone", "Gone", 1, "absence", "lower", lambda *_: 0.0, "gone_package"),
)


def row(candidate, voice, good, rare, seconds):
    problems = {} if rare is not None else {"rare": "too rare"}
    return Row(candidate, f"{voice}.flac", voice, voice == "low", 4.0, {"good": good, "rare": rare}, problems, seconds)


ROWS = [
    row("truth", "low", 4.0, 1.0, None),
    row("truth", "low", 5.0, 2.0, None),
    row("truth", "high", 4.5, 3.0, None),
    row("model", "low", 1.0, None, 0.1),
    row("model", "low", 2.0, 7.0, 0.3),
    row("model", "high", 3.0, None, None),
]


def report():
    return Report({"limit": None, "seed": 0}, ROWS, METRICS, {"gone": "gone_package"}, {"model": "sum"}, ["mute"])


def test_means_skip_undefined_scores_and_speed_skips_untimed_rows():
    found = {(s.voice, s.candidate): s for s in report().summaries()}
    assert list(found) == [("low", "truth"), ("low", "model"), ("high", "truth"), ("high", "model")]
    model = found["low", "model"]
    assert model.means == {"good": 1.5, "rare": 7.0, "times_real_time": pytest.approx(20.0)}
    assert (model.undefined, model.utterances, model.seconds) == ({"rare": 1}, 2, 8.0)
    assert [found["high", "model"].means[name] for name in ("rare", "times_real_time")] == [None, None]


def test_the_table_is_aligned_and_marks_missing_partial_and_unseen_values():
    lines = table(report().summaries(), report().columns).splitlines()
    assert len({len(line) for line in lines}) == 1
    header, rule, *found = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert header == ["voice", "candidate", "utt.", "Good", "Rare", "Gone", "x real time"]
    assert [cell.endswith(":") for cell in rule] == [False, False] + [True] * 5
    assert found == [
        ["low", "truth", "2", "4.50", "2", "-", "-"],
        ["low", "model", "2", "1.50", "7*", "-", "20.0"],
        ["high (unseen)", "truth", "1", "4.50", "3", "-", "-"],
        ["high (unseen)", "model", "1", "3.00", "-", "-", "-"],
    ]


def test_notes_list_packages_omitted_rows_and_each_reason_once():
    assert report().notes() == [
        "Gone was not computed: install gone_package (extras training, evaluation)",
        "mute is left out: no held-out utterance has the selected length",
        "* Rare is undefined for model on low.flac and 1 more: too rare",
    ]
    rows = [row(name, voice, 1.0, None, None) for name in ("truth", "model") for voice in ("low", "high")]
    notes = Report({}, rows, METRICS, {}, {"model": None}, []).notes()
    assert notes == ["* Rare is undefined for truth, model on low.flac and 1 more: too rare"]


def test_files_contain_all_results(tmp_path):
    paths = write_report(report(), tmp_path / "new")
    assert [path.name for path in paths] == ["evaluation.json", "quality.json", "report.md"]
    everything = json.loads(paths[0].read_text())
    assert [entry["values"] for entry in everything["utterances"]] == [r.values for r in ROWS]
    assert everything["missing"] == {"gone": "gone_package"}
    quality = json.loads(paths[1].read_text())["model"]
    assert quality["weights_sha256"] == "sum"
    fields = {"seen": True, "utterances": 2, "seconds": 8.0}
    assert quality["voices"]["low"] == fields | {"good": 1.5, "rare": 7.0, "times_real_time": 20.0}
    assert set(quality["baselines"]) == {"truth"}
    assert set(quality["definitions"]) == {"good", "rare", "gone", "times_real_time"}
    text = paths[2].read_text()
    assert "- **Good**: goodness" in text
    assert "seed 0" in text
    assert "limit" not in text
