"""Critics and generated audio against each other, one update after the other."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn

from training.critics.spectrogram import CriticConfig, SpectrogramCritics, critic_loss, feature_loss, generator_loss

__all__ = ["Adversary"]


class Adversary(nn.Module):
    """Critics with what they judged, so that their own update sees what the model's update saw."""

    def __init__(self, config: CriticConfig, sample_rate: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.length = config.length
        self.critics = SpectrogramCritics(config, sample_rate, compute_dtype)
        self._judged: deque[tuple[Tensor, Tensor]] = deque()

    def judge(self, x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the adversarial loss and the distance of features of generated x_hat (B, T) from x (B, T)."""
        length = min(self.length or x.shape[1], x.shape[1])
        start = int(torch.randint(x.shape[1] - length + 1, ()))
        generated, recorded = x_hat[:, start : start + length], x[:, start : start + length]
        self._judged.append((generated.detach(), recorded))
        judged = self.critics(generated)
        with torch.no_grad():
            real = self.critics(recorded)
        return generator_loss(judged), feature_loss(real, judged)

    def loss(self) -> Tensor:
        """Return the critics' own loss on what they judged, each judgement once, the first one first.

        Raises:
            RuntimeError: they have judged nothing that they have not learnt from.
        """
        if not self._judged:
            raise RuntimeError("critics learn from what they have just judged")
        fake, real = self._judged.popleft()
        return critic_loss(self.critics(real), self.critics(fake))
