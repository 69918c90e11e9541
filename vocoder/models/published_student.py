"""ClariNet's student, which directories of version 0.1 may hold: one parallel pass from noise to audio."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from vocoder.layers.conditioning import PublishedUpsampler
from vocoder.layers.stack import PublishedStack
from vocoder.models.base import Vocoder
from vocoder.models.published_config import PublishedStudentConfig
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, Span, Stage, Z, frames_of, windowed

CONDITION = "condition"
FIRST_SCALE = 1e-6
"""of the first sample, which the original leaves at zero"""


class PublishedStudent(Vocoder):
    """Flows from noise z (B, 1, T) to audio x (B, T) given a mel (B, n_mels, frames).

    Every flow scales and shifts each sample by functions of the noise and of the condition up to the sample before:
    x_t = z_t * exp(log_s_{t-1}) + t_{t-1}; its first sample is zero.
    (Ping et al., "ClariNet", 2018, section 3.3, in the form of its public reimplementation.)
    """

    config: PublishedStudentConfig

    def __init__(self, config: PublishedStudentConfig) -> None:
        super().__init__()
        self.config = config
        self.condition = PublishedUpsampler(config.n_mels, config.upsampling)
        self.steps = nn.ModuleList(PublishedStack(1, 2, config.n_mels, stack) for stack in config.stacks)

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T): one for each flow, the first nearest the noise."""
        sigma, reach = self.config.sigma if sigma is None else sigma, self.condition.context
        stages = [
            Stage(CONDITION, (MEL,), windowed(self.condition), reach, reach),
            Stage(Z, (NOISE,), windowed(lambda noise: sigma * noise)),
        ]
        for i, (step, stack) in enumerate(zip(self.steps, self.config.stacks, strict=True)):
            before = -(-(stack.reach + 1) // self.config.hop_length)  # the noise enters one sample late
            stages.append(Stage(f"flow {i}", (stages[-1].output, CONDITION), windowed(partial(_flow, step)), before))
        return [*stages, Stage("x", (stages[-1].output, Z), _begun)]


def _flow(step: nn.Module, signal: Tensor, condition: Tensor) -> Tensor:
    """Apply a flow to a signal (B, 1, T)."""
    t, log_scale = step(signal, condition)[:, :, :-1].to(signal.dtype).chunk(2, dim=1)
    return torch.cat([torch.zeros_like(signal[:, :, :1]), signal[:, :, 1:] * torch.exp(log_scale) + t], dim=2)


def _begun(span: Span, signal: Tensor, z: Tensor) -> Tensor:
    """Give an utterance the first sample that its noise z (B, 1, T) has."""
    x = torch.cat([FIRST_SCALE * z[:, :, :1], signal[:, :, 1:]], dim=2) if span.first == 0 else signal
    return frames_of(x, span)
