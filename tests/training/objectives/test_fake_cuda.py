"""Losses and whole steps of each objective on a pretended device: shapes and devices are real, numbers are not.

A tensor that is left on the CPU meets one on the device and raises, as it would on a GPU. Losses are computed on a
pretended GPU; for gradients autograd's engine would ask its driver for a context, so that steps are taken on `meta`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import tiny_reverse
import tiny_waveglow
import torch
from accelerate import Accelerator
from tiny_waveglow import MEL, PITCH
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from recipes.recogniser.objective import RecogniserObjective
from training.critics.spectrogram import CriticConfig
from training.distil.recogniser import Recogniser, RecogniserConfig
from training.loop.objective import Batch, Objective
from training.loop.optimisation import ExponentialMovingAverage
from training.loop.trainer_config import TrainerConfig
from training.loop.update import update
from training.objectives.distillation import DistillationObjective
from training.objectives.distillation_losses import DistillationLosses
from training.objectives.wavenet import WaveNetLosses, WaveNetObjective
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import MelConfig, preset
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

CUDA, META = torch.device("cuda", 0), torch.device("meta")
STEP = 1000
"""at which every loss is on"""
STACK = WaveNetConfig(channels=4, dilations=(1, 2), kernel_size=2, causal=True)
SHAPE = {"n_mels": 8, "hop_length": 16, "sample_rate": tiny_waveglow.RATE, "cond_channels": 4}
CRITICS = CriticConfig(sizes=(128,), channels=2, length=1024, f_max=3000.0)
CLASSES = RecogniserConfig(
    n_mels=8, hop_length=16, sample_rate=tiny_waveglow.RATE, n_fft=64, channels=4, classes=4, pitch=PITCH
)


def wavenet() -> WaveNet:
    return WaveNet(WaveNetModelConfig(stack=STACK, lpc=None, **SHAPE))


def predicting_wavenet() -> WaveNetObjective:
    return WaveNetObjective(WaveNet(WaveNetModelConfig(stack=STACK)), preset("nvidia"), WaveNetLosses())


def student(kind: str) -> DistillationObjective:
    """A student that learns by every loss that there is."""
    source = tiny_waveglow.LAPPED.source if kind == "frames" else None
    config = StudentConfig(kind=kind, group_size=16, filter_taps=16, stacks=(STACK,) * 2, source=source, **SHAPE)
    losses = DistillationLosses(perceptual=1.0, style=1.0, power=1.0, critics=CRITICS, bfloat16=True)
    return DistillationObjective(Student(config), wavenet(), MEL, losses, Recogniser(CLASSES))


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "waveglow": tiny_waveglow.objective,
    "waveglow in bfloat16": lambda: tiny_waveglow.objective(bfloat16=True),
    "published waveglow": lambda: tiny_waveglow.objective(tiny_waveglow.GROUPING),
    "wavenet": lambda: WaveNetObjective(wavenet(), MEL, WaveNetLosses(), WaveGlow(tiny_waveglow.LAPPED)),
    "wavenet over linear prediction": predicting_wavenet,
    "student over frames": lambda: student("frames"),
    "student over samples": lambda: student("samples"),
    "reverse": tiny_reverse.objective,
    "reverse in bfloat16": lambda: tiny_reverse.objective(bfloat16=True),
    "recogniser": lambda: RecogniserObjective(Recogniser(CLASSES), MEL),
}


def replaced(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Do what `nn.Module._apply` does, which exchanges tensors in place: pretended ones cannot be."""
    for part in module.modules():
        for name, tensor in part._parameters.items():
            if tensor is not None:
                part._parameters[name] = nn.Parameter(change(tensor.detach()), tensor.requires_grad)
        for name, tensor in part._buffers.items():
            if tensor is not None:
                part._buffers[name] = change(tensor)
    return module


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever numbers the code asks for are 0: critics see the first part, and every band ends early."""
    for name, value in (("__int__", 0), ("__float__", 0.0), ("__bool__", False)):
        monkeypatch.setattr(Tensor, name, lambda _, value=value: value)


def on(device: torch.device, made: Objective, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return an objective on a pretended device."""
    monkeypatch.setattr(nn.Module, "_apply", replaced)
    return made.to(device).train()


def batch(mel: MelConfig, device: torch.device) -> Batch:
    x = torch.empty(2, mel.n_fft + 128 * mel.hop_length, device=device)
    f0 = torch.full((2, 128), 300.0, device=device)
    return {"x": x, "f0": f0, "band": torch.full((2,), mel.sample_rate / 4, device=device)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_losses_of_every_phase_stay_on_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = OBJECTIVES[name]()
    with FakeTensorMode(allow_non_fake_inputs=True):
        objective = on(CUDA, made, monkeypatch)
        for phase in objective.phases():
            loss, parts = objective.loss(phase.name, batch(objective.mel_config, CUDA), STEP)
            assert {value.device for value in (loss, *parts.values())} == {CUDA}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_of_every_phase_stays_on_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, accelerator, settings = OBJECTIVES[name](), Accelerator(cpu=True), TrainerConfig(2000, 2)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which `meta` has none of
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        objective = on(META, made, monkeypatch)
        average = ExponentialMovingAverage(objective.averaged(), 0.9)
        for phase in objective.phases():
            optimiser, moved = torch.optim.SGD(phase.parameters, lr=0.1), list[torch.device]()
            optimiser.register_step_pre_hook(
                lambda *_, phase=phase, moved=moved: moved.extend(
                    p.grad.device for p in phase.parameters if p.grad is not None
                )
            )
            given = batch(objective.mel_config, META)
            done = update(objective, phase, optimiser, given, STEP, settings, accelerator)
            assert done is not None
            assert {value.device for value in done.metrics.values()} == {META}
            assert set(moved) == {META}
            assert len(moved) == len(phase.parameters)
        average.update()
