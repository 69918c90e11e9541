"""Statistics of mels: what they must not depend on, and what they must."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vocoder.layers.mel_statistics import SCALARS, STEPS, THRESHOLDS, mel_statistics, statistics_size, tempo_statistics

VALUES = SCALARS + len(THRESHOLDS)

WATCHED = """
import threading
import time
from pathlib import Path

import numpy as np

from vocoder.layers.mel_statistics import mel_statistics


def switches():
    own = str(threading.get_native_id())
    others = [task for task in Path("/proc/self/task").iterdir() if task.name != own]
    lines = [line for task in others for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def woken(function):
    settled = -1
    while settled != switches():  # threads that watch for work, as they do at first, fall asleep
        settled = switches()
        time.sleep(0.2)
    for _ in range(5):
        function()
    time.sleep(0.2)
    return switches() - settled


mel = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
print(woken(lambda: mel_statistics(mel)), woken(lambda: mel @ mel))
"""
"""prints how often other threads fell asleep again because of statistics, and because of a product of matrices"""


def mels(frames: int = 50) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return -6.0 + 2.0 * torch.randn(2, 20, frames, generator=generator).cumsum(dim=2).clamp(-2.0, 2.0)


def of(mels: Tensor) -> Tensor:
    return torch.stack([torch.from_numpy(mel_statistics(mel.numpy())) for mel in mels])


def test_there_are_as_many_as_is_said() -> None:
    found = of(mels())
    assert found.shape == (2, statistics_size(20))
    assert bool(torch.isfinite(found).all())


def test_correlations_and_changes_are_what_they_are_called() -> None:
    mel = mels()[0]
    x = (mel - mel.mean()) / mel.std(correction=0)
    found = of(mel[None])[0, VALUES:].split(20)
    torch.testing.assert_close(found[0], x.mean(dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], (x.std(dim=1, correction=0) + 1e-2).log(), atol=1e-4, rtol=1e-4)
    expected = torch.corrcoef(x).diagonal(1)
    torch.testing.assert_close(found[3][:19], expected, atol=0.02, rtol=0.0)
    changes = (x.diff(dim=1).square().mean(dim=1) + 1e-4).log()
    torch.testing.assert_close(found[9], changes, atol=1e-4, rtol=1e-4)
    tempo = torch.from_numpy(tempo_statistics(20))[VALUES:].split(20)
    assert tempo[9].tolist() == [1.0] * 20
    assert sum(int(part.sum()) for part in tempo) == 20 + 2 * len(STEPS) * 4


def test_level_and_logarithm_count_in_the_values_alone() -> None:
    one, other = of(mels()), of(mels() * 0.4343 + 3.0)
    torch.testing.assert_close(one[:, VALUES:], other[:, VALUES:], atol=2e-3, rtol=1e-3)
    assert float((one[:, :VALUES] - other[:, :VALUES]).abs().max()) > 0.1


def test_frames_that_repeat_do_not_count_in_the_bands() -> None:
    mel = mels()
    level = mel.mean(dim=(1, 2), keepdim=True)
    weights = torch.cat([mel, mel[:, :, -1:].expand(-1, -1, 30)], dim=2)
    covered, bare = of(weights), of(mel)
    means = slice(VALUES, VALUES + 20)
    scale = mel.std(dim=(1, 2)) / weights.std(dim=(1, 2))
    moved = (weights.mean(dim=(1, 2), keepdim=True) - level)[:, 0] / weights.std(dim=(1, 2))[:, None]
    expected = bare[:, means] * scale[:, None] - moved
    torch.testing.assert_close(covered[:, means], expected, atol=0.05, rtol=0.05)


def test_the_order_of_frames_and_of_bands_counts() -> None:
    mel, order = mels(), torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert float((of(mel[:, :, order]) - of(mel)).abs().max()) > 0.5
    assert float((of(mel.flip(1)) - of(mel)).abs().max()) > 0.1


def test_shares_are_of_values_above_each_threshold() -> None:
    mel = mels()
    found = of(mel)[:, SCALARS:VALUES]
    expected = torch.stack([(mel > level).float().mean(dim=(1, 2)) for level in THRESHOLDS], dim=1)
    torch.testing.assert_close(found, expected)


def test_one_value_everywhere_is_no_division_by_zero() -> None:
    assert bool(torch.isfinite(of(torch.full((1, 20, 4), -5.0))).all())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux which threads have run")
def test_no_thread_of_a_blas_is_woken() -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", WATCHED], env=environment, capture_output=True, text=True, check=True)
    by_statistics, by_product = map(int, found.stdout.split())
    if not by_product:
        pytest.skip("this NumPy's products need no threads")
    assert by_statistics == 0
