"""The last weights are published where they lost nothing and gained something, then the best in validation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from training.corpora.manifest import Manifest
from training.evaluate.evaluation import Row
from training.finetune import outcome as module
from training.finetune.kinds import Start
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
        ((50, 20), WORSE, BETTER, BEST, "step 20, the best in validation, are published: PESQ got better"),
        ((50, 20), SAME, SAME + 0.01, BEST, "step 20, the best in validation, are published: nothing got better"),
        ((50, 20), WORSE, WORSE, BEFORE, "lost more than noise in PESQ 3 -> 2.7"),
        ((50, 50), SAME, None, BEFORE, "the scores of held-out recordings did not rise"),
        ((50, 0), SAME - 0.01, None, BEFORE, "the scores of held-out recordings did not rise"),
        ((50, 0), None, None, BEFORE, "cannot be scored"),
    ],
)
def test_who_is_published_and_why(steps, after, best, chosen, said, tmp_path, monkeypatch) -> None:
    last_step, best_step = steps
    pesq = {BEFORE: SAME, AFTER: after, BEST: best}
    asked = {}

    def compare(models, manifest, folder, options):
        asked.update(models)
        rows = [Row(c, p, "v", True, 1.0, {"pesq": pesq[c]}, {}, None) for c in models for p in "abc"]
        return SimpleNamespace(rows=rows, quality=lambda label: {"scores of": label})

    monkeypatch.setattr(module, "compare", compare)
    monkeypatch.setattr(module, "load", lambda reference, guard: str(reference))
    run = run_of(tmp_path / "training", last_step, best_step)
    start = Start.of("reverse")
    outcome = compared(start, run, Manifest(tmp_path, ()), tmp_path / "report", 0, 1)
    assert (outcome.label, len(outcome.changes)) == (chosen, 0 if after is None else 1)
    assert outcome.quality == {"scores of": chosen}
    assert said in outcome.sentence
    names = {AFTER: "last", BEST: "best"} if 0 < best_step < last_step else {AFTER: "last"}
    assert asked == {BEFORE: "reverse"} | {label: str(run / name / "model") for label, name in names.items()}
    expected = start.directory if chosen == BEFORE else run / names[chosen] / "model"
    assert outcome.model == expected
