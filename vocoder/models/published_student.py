"""ClariNet's student as published: inverse autoregressive flows over samples, one parallel pass from noise to audio."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.autoregressive.plan import BLOCK
from vocoder.layers.conditioning import PublishedUpsampler
from vocoder.layers.stack import PublishedStack, StackStepper, gate_offsets
from vocoder.models.base import FlowVocoder
from vocoder.models.published_config import PublishedStudentConfig
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, Span, Stage, Z, frames_of, windowed

__all__ = ["PublishedStudent"]

CONDITION = "condition"
FIRST_LOG_SCALE = math.log(1e-6)
"""of the first sample: the original leaves it at zero, which no bijection can"""


class PublishedStudent(FlowVocoder):
    """A flow between audio x (B, T) and noise z (B, 1, T) given a mel (B, n_mels, frames), as the importer says.

    Every flow scales and shifts each sample by functions of the noise and of the condition up to the sample before:
    x_t = z_t * exp(log_s_{t-1}) + t_{t-1}. The first sample is never changed; flows after the first see zero there, and
    as audio it is a millionth of its noise. Noise to audio is one parallel pass, audio to noise goes sample by sample.
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
        for i, stack in enumerate(self.config.stacks):
            before = -(-(stack.reach + 1) // self.config.hop_length)  # the noise enters one sample late
            flow = windowed(partial(self._flow, i))
            stages.append(Stage(f"flow {i}", (stages[-1].output, CONDITION), flow, before))
        return [*stages, Stage("x", (stages[-1].output, Z), _begun)]

    def _flow(self, i: int, signal: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Apply flow number `i` to a signal (B, 1, T); its first sample becomes zero."""
        t, log_scale = self.steps[i](signal, condition)[:, :, :-1].to(signal.dtype).chunk(2, dim=1)
        rest = signal[:, :, 1:] * torch.exp(log_scale) + t
        return torch.cat([torch.zeros_like(signal[:, :, :1]), rest], dim=2), log_scale

    @torch.no_grad()
    def forward(self, x: Tensor, mel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel (B, n_mels, frames) to `(z, log_det)`: sequential, no gradients."""
        condition = self.condition(self.given(mel)[MEL])
        first = math.exp(-FIRST_LOG_SCALE) * x[:, :1]
        log_det = x.new_full((x.shape[0],), -FIRST_LOG_SCALE)
        signal = x
        for i in reversed(range(len(self.steps))):
            step = self.steps[i]
            assert isinstance(step, PublishedStack)
            signal, change = _undone(step, first if i == 0 else torch.zeros_like(first), signal, condition)
            log_det = log_det + change
        return signal.unsqueeze(1), log_det

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, 1, T) of the noise for a mel of that many frames."""
        return batch, 1, frames * self.config.hop_length


def _begun(span: Span, signal: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Give an utterance the first sample that its noise z (B, 1, T) has."""
    x, log_det = signal, z.new_zeros(z.shape[0])
    if span.first == 0:
        x = torch.cat([math.exp(FIRST_LOG_SCALE) * z[:, :, :1], signal[:, :, 1:]], dim=2)
        log_det = log_det + FIRST_LOG_SCALE
    return frames_of(x, span), log_det


def _undone(step: PublishedStack, first: Tensor, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input (B, T) of one flow for its output x (B, T), the first input sample given, and log_det (B,)."""
    stepper = StackStepper(step.weights(), x.shape[0])
    made, log_det = [first], x.new_zeros(x.shape[0])
    for time in range(x.shape[1] - 1):
        if time % BLOCK == 0:
            offsets = gate_offsets(step, condition[:, :, time : time + BLOCK], x.shape[0])
        t, log_scale = stepper(made[-1], offsets[time % BLOCK]).to(x.dtype).chunk(2, dim=1)
        made.append((x[:, time + 1 : time + 2] - t) * torch.exp(-log_scale))
        log_det = log_det - log_scale[:, 0]
    return torch.cat(made, dim=1), log_det
