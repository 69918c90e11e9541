import json
import math
import signal

import pytest
import torch
from toy_training import Tones, ToyObjective, assert_equal, saved_run, seeded_toy, stop_at, toy_config, toy_trainer

from training.loop.checkpointing import run_progress
from training.loop.optimisation import rate_scale
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from vocoder.checkpoint import CheckpointError
from vocoder.command_line import CommandError
from vocoder.config import ConfigError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    result = toy_trainer(directory, toy_config(), seeded_toy(noise=0.3)).fit()
    assert (result.step, result.nonfinite_steps) == (20, 0)
    return directory


@pytest.mark.parametrize("stops", [(6,), (8, 12)])  # an epoch has 6 steps, validation follows step 8
def test_a_resumed_run_equals_an_uninterrupted_one_exactly(tmp_path, whole, stops):
    for i, step in enumerate(stops):
        trainer = toy_trainer(tmp_path, toy_config(), seeded_toy(noise=0.3), resume=i > 0)
        stop_at(trainer, step)
        assert trainer.fit().step == step
    torch.manual_seed(99)  # the new process's weights and random state do not matter
    assert toy_trainer(tmp_path, toy_config(), ToyObjective(noise=0.3), resume=True).fit().step == 20
    assert_equal(saved_run(whole), saved_run(tmp_path))


def test_validation_does_not_affect_training(tmp_path, whole):
    toy_trainer(tmp_path, toy_config(validation_steps=3), seeded_toy(noise=0.3)).fit()
    a, b = saved_run(whole), saved_run(tmp_path)
    assert_equal([a["objective"], a["random"]], [b["objective"], b["random"]])


def test_phases_only_change_their_own_parameters_and_can_skip_steps(tmp_path):
    objective = seeded_toy()
    parts = objective.critic, objective.model[0], objective.unused
    before = [part.weight.detach().clone() for part in parts]
    toy_trainer(tmp_path, toy_config(steps=9), objective).fit()
    assert objective.leaks == []
    assert [torch.equal(part.weight, start) for part, start in zip(parts, before, strict=True)] == [False, False, True]
    states = saved_run(tmp_path)["optimisers"]
    steps = {name: {float(entry["step"]) for entry in state["state"].values()} for name, state in states.items()}
    assert steps == {"model": {9.0}, "critic": {6.0}}


def test_nonfinite_steps_are_skipped_and_too_many_in_a_row_abort_the_run(tmp_path):
    objective, seen = seeded_toy(poison=[3, 7]), {}
    objective.on_step = lambda step: seen.setdefault(step, objective.model[0].weight.detach().clone())
    assert toy_trainer(tmp_path, toy_config(steps=10), objective).fit().nonfinite_steps == 2
    assert torch.equal(seen[3], seen[4])
    assert torch.equal(seen[7], seen[8])
    assert not torch.equal(seen[4], seen[5])
    run = saved_run(tmp_path)
    assert {float(entry["step"]) for entry in run["optimisers"]["model"]["state"].values()} == {8.0}
    assert all(torch.isfinite(value).all() for value in run["ema"].values())
    poisoned = seeded_toy(poison=[1, 2, 5, 6, 7, 8])
    trainer = toy_trainer(tmp_path / "ended", toy_config(max_nonfinite_steps=3), poisoned)
    with pytest.raises(CommandError, match="3 consecutive steps, up to step 8"):
        trainer.fit()


def test_the_best_checkpoint_has_the_lowest_score_and_the_last_the_newest_weights(tmp_path):
    objective = seeded_toy()
    objective.validate = lambda batch: {"score": (torch.tensor(float(trainer.state.progress.step)) - 16).abs()}
    trainer = toy_trainer(tmp_path, toy_config(), objective)
    assert trainer.fit().best_score == 0.0
    assert (run_progress(tmp_path / "best").step, run_progress(tmp_path / "last").step) == (16, 20)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000016", "step-00000020"]


def test_averaged_weights_are_validated_and_exported(tmp_path):
    objective = seeded_toy()
    result = toy_trainer(tmp_path, toy_config(), objective).fit()
    run = saved_run(tmp_path)
    assert_equal(torch.load(tmp_path / "last/model/model.pt", weights_only=True), run["ema"])
    assert torch.equal(objective.model[0].weight, run["objective"]["model.0.weight"])
    objective.model.load_state_dict(run["ema"])
    everything = {"x": torch.stack([Tones()[0, index]["x"] for index in range(10)])}
    with torch.no_grad():
        score = float(objective.eval().validate(everything)["score"])
    assert math.isclose(result.best_score, score, rel_tol=1e-6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_reaches_the_previous_handler(tmp_path, capsys, number):
    objective, sent, handled = seeded_toy(), [], []
    objective.on_step = lambda step: step == 4 and not sent and sent.append(signal.raise_signal(number))
    handler = signal.signal(number, lambda *_: handled.append(saved_run(tmp_path)["progress"]["step"]))
    try:
        with pytest.raises(KeyboardInterrupt):  # even if the handler ignores the signal
            fit(RunConfig(str(tmp_path), toy_config()), objective, Tones(), Tones(10))
    finally:
        signal.signal(number, handler)
    assert handled == [5]
    assert "interrupted after step 5 of 20" in capsys.readouterr().out


def test_a_finished_run_continues_with_more_steps_and_stores_its_provenance(tmp_path, capsys):
    toy_trainer(tmp_path, toy_config()).fit()
    provenance = json.loads((tmp_path / "last/model/config.json").read_text())
    assert (provenance["data"], provenance["training"]["step"]) == ("tones", 20)
    assert provenance["training"]["audio_seconds"] == pytest.approx(20 * 4 * 8 / 100)
    assert provenance["training"]["settings"]["learning_rate"] == 1e-2
    longer = toy_config(steps=40, validation_steps=100)
    trainer = toy_trainer(tmp_path, longer, resume=True)
    stop_at(trainer, 30)
    capsys.readouterr()
    assert trainer.fit().step == 30
    assert "validation" not in capsys.readouterr().out  # only a new run validates its start
    rate = saved_run(tmp_path)["optimisers"]["critic"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(1e-2 * rate_scale(longer, 29))


def test_runs_that_cannot_be_resumed_or_overwritten_are_rejected(tmp_path, whole):
    with pytest.raises(ConfigError, match=r"26 items, fewer than trainer\.batch_size=27: lower it"):
        toy_trainer(tmp_path, toy_config(batch_size=27))
    for folder, resume, fault in ((whole, False, "already has a run"), (tmp_path, True, "nothing to resume")):
        with pytest.raises(CheckpointError, match=fault):
            toy_trainer(folder, toy_config(), resume=resume)
    with pytest.raises(CheckpointError, match="does not fit this configuration"):
        toy_trainer(whole, toy_config(), ToyObjective(width=5), resume=True)
    toy_trainer(tmp_path, toy_config(steps=1)).fit()
    torch.save({"call": print}, tmp_path / "last" / "optimisers.pt")  # a checkpoint cannot run code
    for fault in ("does not fit this configuration: Weights only", "one of its files ends too early"):
        with pytest.raises(CheckpointError, match=fault):
            toy_trainer(tmp_path, toy_config(steps=1), resume=True)
        (tmp_path / "last" / "optimisers.pt").write_bytes(b"")  # as a power failure can leave a copy
