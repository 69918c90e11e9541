from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_training import seeded_toy, toy_config, toy_trainer

from training.loop.monitoring import Monitor
from training.loop.run_state import Progress


def test_run_without_a_terminal_prints_a_line_per_interval_and_fills_tensorboard(tmp_path, capsys):
    toy_trainer(tmp_path, toy_config(), seeded_toy()).fit()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["1/20", "2/20", "5/20", "10/20", "15/20", "20/20"]
    assert all("model/loss" in line and "audio s/s" in line and line.endswith("left") for line in lines)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"model/loss", "model/distance", "critic/loss", "model/learning_rate", "speed"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("validation/score")] == [0, 8, 16, 20]


def test_speed_and_time_left_are_those_of_the_last_interval(tmp_path, capsys):
    start = Progress(step=10, audio_seconds=100.0)
    monitor = Monitor(tmp_path, start, steps=40, sample_rate=22050, enabled=True)
    monitor.interval(Progress(step=20, audio_seconds=160.0), {"model/loss": 1.5}, seconds=20.0)
    monitor.interval(Progress(step=30, audio_seconds=260.0, nonfinite_steps=2), {"model/loss": 1.25}, seconds=40.0)
    monitor.close()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "step 20/40  model/loss 1.5000  3.0 audio s/s  0:00:40 left"
    assert second == "step 30/40  model/loss 1.2500  not finite 2  2.5 audio s/s  0:00:40 left"


def test_monitor_of_other_processes_is_silent(tmp_path, capsys):
    monitor = Monitor(tmp_path, Progress(), steps=4, sample_rate=None, enabled=False)
    monitor.interval(Progress(step=1, items=4), {"model/loss": 1.0}, seconds=1.0)
    monitor.close()
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
