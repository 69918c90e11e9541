"""The last weights are published where they lost nothing and gained something, then the best in validation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from training.commands import evaluate
from training.corpora.manifest import Manifest
from training.finetune.outcome import AFTER, BEFORE, BEST, compared
from training.loop.run_state import Progress

SAME, BETTER, WORSE = 3.0, 3.3, 2.7


def run_of(folder: Path, last: int, best: int) -> Path:
    """Write the checkpoints of a run, without weights."""
    for name, step in (("last", last), ("best", best)):
        (folder / name).mkdir(parents=True)
        (folder / name / "trainer.json").write_text(json.dumps({"progress": asdict(Progress(step=step))}))
    return folder


@pytest.mark.parametrize(
    ("steps", "after", "best", "chosen", "said"),
    [
        ((50, 0), BETTER, None, AFTER, "The weights of step 50, the last, are published: PESQ got better"),
        ((50, 20), BETTER, WORSE, AFTER, "step 50, the last"),
        ((50, 20), WORSE, SAME, BEST, "step 20, the best in validation, are published: nothing got better"),
        ((50, 20), SAME, SAME, AFTER, "step 50, the last, are published: nothing got better"),
        ((50, 50), SAME, None, AFTER, "step 50, the last, are published: nothing got better"),
        ((50, 20), WORSE, WORSE, BEFORE, "lost more than noise in PESQ 3 -> 2.7"),
        ((50, 0), SAME, None, BEFORE, "neither validation nor the scores of held-out recordings improved"),
        ((50, 0), None, None, BEFORE, "cannot be scored"),
    ],
)
def test_who_is_published_and_why(steps, after, best, chosen, said, tmp_path, monkeypatch) -> None:
    last_step, best_step = steps
    pesq = {BEFORE: SAME, AFTER: after, BEST: best}
    asked = []

    def evaluated(args, loader):
        asked.extend(args.models)
        rows = [{"candidate": c, "path": p, "values": {"pesq": v}} for c, v in pesq.items() for p in "abc"]
        args.output.mkdir()
        (args.output / "evaluation.json").write_text(json.dumps({"utterances": rows}))

    monkeypatch.setattr(evaluate, "evaluate_all", evaluated)
    run = run_of(tmp_path / "training", last_step, best_step)
    outcome = compared("reverse", run, Manifest(tmp_path, ()), tmp_path / "report", 0, 1)
    assert (outcome.label, len(outcome.changes)) == (chosen, 0 if after is None else 1)
    assert said in outcome.sentence
    names = ["last", "best"] if 0 < best_step < last_step else ["last"]
    assert asked == ["reverse", *(str(run / name / "model") for name in names)]
    if chosen != BEFORE:
        assert outcome.model == run / ("last" if chosen == AFTER else "best") / "model"


def test_without_scores_validation_alone_decides(tmp_path, monkeypatch) -> None:
    def evaluated(args, loader):
        rows = [{"candidate": c, "path": "a", "values": {"stft_distance": 1.0}} for c in (BEFORE, AFTER, BEST)]
        args.output.mkdir()
        (args.output / "evaluation.json").write_text(json.dumps({"utterances": rows}))

    monkeypatch.setattr(evaluate, "evaluate_all", evaluated)
    for best_step, chosen in ((0, BEFORE), (20, BEST), (50, AFTER)):
        run = run_of(tmp_path / f"{best_step}", 50, best_step)
        outcome = compared("reverse", run, Manifest(tmp_path, ()), tmp_path / f"report-{best_step}", 0, 1)
        assert outcome.label == chosen
