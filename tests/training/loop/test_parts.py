from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from toy_training import Tones, assert_equal, saved_run, seeded_toy, toy_config, toy_trainer

from training.loop.batches import epoch_batches, loaded
from training.loop.checkpointing import Checkpoints, Progress
from training.loop.monitoring import Monitor
from training.loop.optimisation import build_optimiser, moving_average, rate_scale
from vocoder.command_line import CommandError


def epoch_of(epoch, first=0, seed=5):
    return epoch_batches(toy_config(seed=seed), 26, epoch, first)


def test_epochs_use_each_item_at_most_once_and_batches_follow_the_plan():
    epochs = [epoch_of(epoch) for epoch in range(4)]
    for number, epoch in enumerate(epochs):
        items = [key for batch in epoch for key in batch]
        assert len(items) == len(set(items)) == 24
        assert set(items) <= {(number, index) for index in range(26)}
    assert all(a != b for a, b in pairwise(epochs))
    assert epoch_of(0, seed=6) != epochs[0]
    assert epoch_of(1, first=4) == epochs[1][4:]
    data, before = Tones(), torch.get_rng_state()
    batches = list(loaded(data, epoch_of(3, first=5), 0, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), before)
    (keys,) = epoch_of(3, first=5)
    assert len(batches) == 1
    assert torch.equal(batches[0]["x"], torch.stack([data[key]["x"] for key in keys]))
    assert batches[0]["speaker"].tolist() == [index % 3 for _, index in keys]


class Killed(BaseException):
    """Simulates the end of the process."""


def fill_with(text):
    return lambda directory: (directory / "state").write_text(text)


def write_half(directory):
    (directory / "state").write_text("ha")
    raise Killed


@pytest.mark.parametrize("step", [None, "rename", "replace"], ids=["filling", "renaming", "linking"])
def test_the_old_checkpoint_survives_a_kill_while_writing(tmp_path, monkeypatch, step):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, ["last", "best"], fill_with("old"))
    fill = fill_with("new") if step else write_half
    with monkeypatch.context() as patch:
        if step:
            patch.setattr(Path, step, Mock(side_effect=Killed))
        with pytest.raises(Killed):
            checkpoints.write(2, ["last"], fill)
    assert (checkpoints.last / "state").read_text() == "old"
    fill = Mock(side_effect=SafetensorError("Error while serializing: No space left on device"))
    with pytest.raises(CommandError, match=r"cannot write .*step-00000003; .* is the last checkpoint: .* No space"):
        checkpoints.write(3, ["last"], fill)
    assert not list(checkpoints.root.glob("*step-00000003*"))
    again = Checkpoints(tmp_path)
    again.prune()
    assert [path.name for path in again.root.iterdir()] == ["step-00000001"]
    again.write(2, ["last"], fill_with("new"))
    assert [(link / "state").read_text() for link in (again.last, again.best)] == ["new", "old"]


def test_runs_without_a_terminal_print_a_line_per_interval_and_write_tensorboard(tmp_path, capsys):
    toy_trainer(tmp_path, toy_config(), seeded_toy()).fit()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["1/20", "2/20", "5/20", "10/20", "15/20", "20/20"]
    assert all("model/loss" in line and "audio s/s" in line and line.endswith("left") for line in lines)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"model/loss", "model/distance", "critic/loss", "model/learning_rate", "speed"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("validation/score")] == [0, 8, 16, 20]


def test_speed_and_remaining_time_are_of_the_last_interval(tmp_path, capsys, monkeypatch):
    monitor = Monitor(tmp_path, Progress(step=10, audio_seconds=100.0), steps=40, sample_rate=22050, enabled=True)
    monitor.interval(Progress(step=20, audio_seconds=160.0), {"model/loss": 1.5}, seconds=20.0)
    monitor.interval(Progress(step=30, audio_seconds=260.0, nonfinite_steps=2), {"model/loss": 1.25}, seconds=40.0)
    monitor.close()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "step 20/40  model/loss 1.5000  3.0 audio s/s  0:00:40 left"
    assert second == "step 30/40  model/loss 1.2500  not finite 2  2.5 audio s/s  0:00:40 left"
    monkeypatch.setenv("RANK", "1")
    silent = Monitor(tmp_path / "other", Progress(), steps=4, sample_rate=None, enabled=False)  # of another process
    silent.interval(Progress(step=1, items=4), {"model/loss": 1.0}, seconds=1.0)
    silent.close()
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("decay", "quarter", "half", "end"),
    [("cosine", 0.6 + 0.4 * 0.5**0.5, 0.6, 0.2), ("linear", 0.8, 0.6, 0.2), ("constant", 1.0, 1.0, 1.0)],
)
def test_the_learning_rate_decays_after_a_linear_warmup(decay, quarter, half, end):
    config = toy_config(steps=105, warmup_steps=4, decay=decay, final_rate_scale=0.2)
    values = [rate_scale(config, step) for step in (0, 1, 3, 4, 29, 54, 104, 500)]
    assert values == pytest.approx([0.25, 0.5, 1.0, 1.0, quarter, half, end, end])
    assert rate_scale(toy_config(warmup_steps=0), 0) == 1.0


def test_weight_decay_applies_to_kernels_but_not_to_vectors():
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.bias.fill_(1.0)
    weight = module.weight.detach().clone()
    optimiser = build_optimiser(tuple(module.parameters()), toy_config(learning_rate=0.1, weight_decay=0.5))
    assert {group["lr"] for group in optimiser.param_groups} == {0.1}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(module.weight.detach(), weight * (1 - 0.1 * 0.5))
    assert torch.equal(module.bias.detach(), torch.ones(2))


def test_the_moving_average_has_a_growing_decay():
    module, expected = nn.Linear(2, 1, bias=False), 1.0
    nn.init.constant_(module.weight, expected)
    average = moving_average(module, decay=0.2)
    for decay, value in ((0.1, 3.0), (2 / 11, -2.0), (0.2, 5.0), (0.2, 0.5)):
        nn.init.constant_(module.weight, value)
        average.update_parameters(module)
        expected = decay * expected + (1 - decay) * value
        torch.testing.assert_close(average.module.weight.detach(), torch.full((1, 2), expected))


def test_accumulating_parts_equals_training_on_the_whole_batch(tmp_path):
    runs = []
    for parts in (1, 2):
        directory = tmp_path / str(parts)
        result = toy_trainer(directory, toy_config(accumulation=parts, clip_norm=0.5), seeded_toy()).fit()
        assert (result.step, result.nonfinite_steps) == (20, 0)
        runs.append(saved_run(directory))
    whole, parted = runs
    for name, value in whole["objective"].items():
        if name != "last":  # the toy's last input is a part
            torch.testing.assert_close(parted["objective"][name], value, atol=1e-6, rtol=1e-5)
    assert_equal(whole["progress"]["items_in_epoch"], parted["progress"]["items_in_epoch"])
