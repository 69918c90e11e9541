"""Runs in separate processes: killed, stopped and distributed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_training import assert_equal, saved_run, seeded_toy, toy_config, toy_trainer

PROGRAM = str(Path(__file__).parents[1] / "train_toy.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
ENVIRONMENT["PYTHONPATH"] = str(Path(__file__).parents[3])


def test_a_killed_run_resumes_from_a_complete_checkpoint(tmp_path):
    command = [sys.executable, PROGRAM, "alone", str(tmp_path / "parts")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        next(line for line in process.stdout if line.startswith("step 11/"))
        process.kill()
        assert "--resume" not in process.stdout.read()
    assert 10 <= saved_run(tmp_path / "parts")["progress"]["step"] < 30
    toy_trainer(tmp_path / "parts", toy_config(steps=30), seeded_toy(noise=0.3), resume=True).fit()
    toy_trainer(tmp_path / "whole", toy_config(steps=30), seeded_toy(noise=0.3)).fit()
    assert_equal(saved_run(tmp_path / "whole"), saved_run(tmp_path / "parts"))


def test_two_processes_equal_one_and_resume_exactly(tmp_path):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", PROGRAM, "together"]
    command = [sys.executable, *launch, str(tmp_path)]
    finished = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr
    toy_trainer(tmp_path / "one", toy_config()).fit()
    one, two = saved_run(tmp_path / "one"), saved_run(tmp_path / "quiet")
    for part in ("objective", "ema"):
        for name, value in one[part].items():
            torch.testing.assert_close(two[part][name], value, rtol=1e-4, atol=1e-6)
    assert (two["progress"], len(two["random"]["processes"])) == (pytest.approx(one["progress"], rel=1e-5), 2)
    assert_equal(saved_run(tmp_path / "whole"), saved_run(tmp_path / "halves"))
