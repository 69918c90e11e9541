"""A student learns a known process from its density alone, without a single sample of it."""

from __future__ import annotations

import math

import torch
from toy_teachers import SecondOrder

from training.losses.kl import divergence
from vocoder.layers.stack import WaveNetConfig
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig

STEPS, RATE = 400, 1e-2


def distilled(teacher: SecondOrder) -> Student:
    torch.manual_seed(0)
    stack = WaveNetConfig(channels=16, dilations=(1, 2, 4), kernel_size=3, causal=True)
    student = Student(
        StudentConfig(kind="samples", n_mels=0, cond_channels=0, hop_length=1, filter_taps=0, stacks=(stack,))
    )
    optimiser = torch.optim.Adam(student.parameters(), lr=RATE, betas=(0.9, 0.99))
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * 0.5 * (1.02 + math.cos(math.pi * step / STEPS))
        draw = student.draw(torch.randn(student.noise_shape(8, 256)))
        kl = divergence(draw, teacher.conditionals(draw.x), teacher.distribution, student.base, "closed").kl.mean()
        optimiser.zero_grad()
        kl.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
    return student.requires_grad_(False)


def test_student_recovers_a_second_order_process():
    teacher = SecondOrder()
    student = distilled(teacher)
    draw = student.draw(torch.randn(student.noise_shape(64, 8192)))
    found = divergence(draw, teacher.conditionals(draw.x), teacher.distribution, student.base, "closed")
    assert 0 <= float(found.kl.mean()) < 0.02
    window = torch.hann_window(256)
    frames = draw.x[:, 256:].unfold(1, 256, 128) * window / window.square().sum().sqrt()
    power = torch.fft.rfft(frames).abs().square().mean(dim=(0, 1))
    decibels = 10 * torch.log10(power / teacher.power(math.pi * torch.arange(129) / 128))
    assert float(decibels.abs().max()) < 1.0
    white = 10 * torch.log10(power.mean() / teacher.power(math.pi * torch.arange(129) / 128))
    assert float(white.abs().max()) > 5.0  # the process is far from white, so that this was something to learn
