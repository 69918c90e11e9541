"""What an objective hears is the mel that came with a recording; what its losses look at is the recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import tiny_reverse
import tiny_waveglow
import torch
from torch import Tensor
from toy_teachers import Loud

from training.data.mel_variation import BlurConfig
from training.loop.objective import Batch, Objective
from training.objectives.distillation import DistillationObjective
from training.objectives.distillation_losses import DistillationLosses
from training.objectives.wavenet import WaveNetLosses, WaveNetObjective
from vocoder.layers.stack import WaveNetConfig
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

MEL = tiny_waveglow.MEL
STACK = WaveNetConfig(channels=4, dilations=(1, 2), kernel_size=2, causal=True)
SHAPE = {"n_mels": 8, "hop_length": 16, "sample_rate": tiny_waveglow.RATE, "cond_channels": 4}


def waveglow() -> Objective:
    return tiny_waveglow.stirred(samples_from=0, critics_from=0)


def reverse() -> Objective:
    return stirred(tiny_reverse.objective())


def wavenet() -> Objective:
    made = WaveNetObjective(
        WaveNet(WaveNetModelConfig(lpc=None, stack=STACK, **SHAPE)), MEL, WaveNetLosses(past=64, bfloat16=False)
    )
    return stirred(made)


def student() -> Objective:
    config = StudentConfig(group_size=16, filter_taps=16, stacks=(STACK,), **SHAPE)
    return stirred(DistillationObjective(Student(config), Loud(), MEL, DistillationLosses(bfloat16=False)))


def stirred(made: Objective) -> Objective:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def given(change: float, has: bool = True) -> Batch:
    """Return a batch with its own mels, higher by `change`, and whether they count."""
    batch = tiny_waveglow.batch()
    own = tiny_waveglow.objective().compared.mel.frame(batch["x"])[:, :, : tiny_waveglow.LENGTH // 16]
    return {**batch, "mel": own + change, "has_mel": torch.tensor([has, has])}


def scores(made: Objective, batch: Batch) -> dict[str, float]:
    torch.manual_seed(1)
    with torch.no_grad():
        return {name: float(value) for name, value in made.eval().validate(batch).items()}


@pytest.mark.parametrize("build", [waveglow, reverse, wavenet, student])
def test_the_given_mel_is_heard_where_there_is_one(build: Callable[[], Objective]) -> None:
    made = build()
    plain = scores(made, tiny_waveglow.batch())
    assert scores(made, given(0.0)) == pytest.approx(plain, rel=1e-5)
    assert scores(made, given(1.0, has=False)) == pytest.approx(plain, rel=1e-6)
    assert scores(made, given(1.0))["score"] != pytest.approx(plain["score"], rel=3e-5)


@pytest.mark.parametrize("build", [waveglow, reverse])
def test_losses_compare_with_the_recording_and_given_mels_are_not_varied(build: Callable[[], Any]) -> None:
    made = build()

    def parts(batch: Batch) -> dict[str, Tensor]:
        torch.manual_seed(1)
        outcome = made.loss(made.phases()[0].name, batch, 100)
        assert outcome is not None
        return outcome[1]

    made.losses = dataclasses.replace(made.losses, blur=BlurConfig(share=0.0))
    unvaried = parts(given(0.0))
    made.losses = dataclasses.replace(made.losses, blur=BlurConfig(share=1.0))
    varied, louder = parts(given(0.0)), parts(given(0.7))
    # A given mel that is 0.7 too high makes samples that much louder, and moves them relative to the recording.
    assert abs(float(louder["mel"] - varied["mel"])) > 0.2
    torch.testing.assert_close(varied["pitch"], unvaried["pitch"])
    plain = parts(tiny_waveglow.batch())
    assert float(plain["pitch"]) != float(varied["pitch"])
