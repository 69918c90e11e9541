"""ClariNet's student as published: inverse autoregressive flows over samples, one parallel pass from noise to audio."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow
from vocoder.layers.published.stack import PublishedStack
from vocoder.layers.published.stepping import BLOCK, PublishedStepper
from vocoder.layers.published.upsampling import PublishedUpsampler
from vocoder.models.published_config import PublishedStudentConfig

__all__ = ["PublishedStudent"]

FIRST_LOG_S = math.log(1e-6)
"""of the first sample: the original leaves it at zero, which no bijection can"""


class PublishedStudent(Flow):
    """A flow between audio x (B, T) and noise z (B, 1, T) given a mel (B, n_mels, frames), of the importer's contract.

    Every flow scales and shifts each sample by functions of the noise and of the condition up to the sample before:
    x_t = z_t * exp(log_s_{t-1}) + t_{t-1}. The first sample is never changed; flows after the first see zero there, and
    as audio it is a millionth of its noise. Noise to audio is one parallel pass, audio to noise goes sample by sample.
    (Ping et al., "ClariNet", 2018, section 3.3, in the form of its public reimplementation.)
    """

    def __init__(self, config: PublishedStudentConfig) -> None:
        super().__init__()
        self.config = config
        self.upsampling = PublishedUpsampler(config.n_mels, config.upsampling)
        self.steps = nn.ModuleList(PublishedStack(1, 2, config.n_mels, stack) for stack in config.stacks)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, 1, T) and the mel `cond` (B, n_mels, frames) to `(x, log_det)` in one parallel pass."""
        condition = self.upsampling(_required(cond))
        log_det = z.new_full((z.shape[0],), FIRST_LOG_S)
        signal = z
        for i in range(len(self.steps)):
            signal, change = self.flow(i, signal, condition)
            log_det = log_det + change
        return self.with_first(signal, z).squeeze(1), log_det

    def flow(self, i: int, signal: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Apply flow number `i` to a signal (B, 1, T); its first sample becomes zero. Also returns log_det (B,)."""
        t, log_s = self.steps[i](signal, condition)[:, :, :-1].to(signal.dtype).chunk(2, dim=1)
        rest = signal[:, :, 1:] * torch.exp(log_s) + t
        return torch.cat([torch.zeros_like(signal[:, :, :1]), rest], dim=2), log_s.sum(dim=(1, 2))

    def with_first(self, signal: Tensor, z: Tensor) -> Tensor:
        """Return what the last flow made (B, 1, T) with the first sample that noise z (B, 1, T) has."""
        return torch.cat([math.exp(FIRST_LOG_S) * z[:, :, :1], signal[:, :, 1:]], dim=2)

    @torch.no_grad()
    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel `cond` (B, n_mels, frames) to `(z, log_det)`: sequential, no gradients."""
        condition = self.upsampling(_required(cond))
        first = math.exp(-FIRST_LOG_S) * x[:, :1]
        log_det = x.new_full((x.shape[0],), -FIRST_LOG_S)
        signal = x
        for i in reversed(range(len(self.steps))):
            step = self.steps[i]
            assert isinstance(step, PublishedStack)
            signal, change = _undone(step, first if i == 0 else torch.zeros_like(first), signal, condition)
            log_det = log_det + change
        return signal.unsqueeze(1), log_det

    def prior(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, 1, T) into the `z` to sample from: scaled by `sigma`."""
        return (self.config.sigma if sigma is None else sigma) * noise

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, 1, T) of the noise for a mel of that many frames."""
        return batch, 1, frames * self.config.hop_length

    @property
    def context(self) -> int:
        """Number of mel frames on each side that a frame of audio depends on, given z and the mel."""
        samples = sum(stack.reach + 1 for stack in self.config.stacks)
        return -(-samples // self.config.hop_length) + self.upsampling.context + 1


def _undone(step: PublishedStack, first: Tensor, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input (B, T) of one flow for its output x (B, T), the first input sample given, and log_det (B,)."""
    stepper = PublishedStepper(step, x.shape[0])
    made, log_det = [first], x.new_zeros(x.shape[0])
    for time in range(x.shape[1] - 1):
        if time % BLOCK == 0:
            stepper.listen(condition[:, :, time : time + BLOCK])
        t, log_s = stepper(made[-1]).to(x.dtype).chunk(2, dim=1)
        made.append((x[:, time + 1 : time + 2] - t) * torch.exp(-log_s))
        log_det = log_det - log_s[:, 0]
    return torch.cat(made, dim=1), log_det


def _required(mel: Tensor | None) -> Tensor:
    if mel is None:
        raise ValueError("this student needs the mel as its condition")
    return mel
