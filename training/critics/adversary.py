"""Adversarial training: critics and generator are updated in turn."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.critics.spectrogram import CriticConfig, SpectrogramCritics, critic_loss, feature_loss, generator_loss
from vocoder.config import ConfigError, from_dict, to_dict

CRITICS_FILE = "critics.safetensors"
"""file of the critics, beside the weights of the model that they judged"""


class Adversary(nn.Module):
    """Critics that remember what they judged, so that their own update sees the same audio as the model's update."""

    def __init__(
        self, config: CriticConfig, sample_rate: int, compute_dtype: torch.dtype, *, first: int = 0, every: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.first, self.every = first, every
        self.critics = SpectrogramCritics(config, sample_rate, compute_dtype)
        self._judged: deque[tuple[Tensor, Tensor]] = deque()

    def asked(self, step: int) -> bool:
        """Return whether the critics judge at a step."""
        return step >= self.first and step % self.every == 0

    def judge(self, x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the adversarial and feature losses of generated audio x_hat (B, T) against x (B, T)."""
        length = min(self.config.length or x.shape[1], x.shape[1])
        start = int(torch.randint(x.shape[1] - length + 1, ()))
        generated, recorded = x_hat[:, start : start + length], x[:, start : start + length]
        self._judged.append((generated.detach(), recorded))
        judged = self.critics(generated)
        with torch.no_grad():
            real = self.critics(recorded)
        return generator_loss(judged), feature_loss(real, judged)

    def loss(self, step: int = 0) -> Tensor | None:
        """Return the critics' own loss on the oldest unused judgement, or None if they do not judge at this step."""
        if not self.asked(step):
            return None
        fake, real = self._judged.popleft()
        return critic_loss(self.critics(real), self.critics(fake))

    def save(self, directory: Path) -> None:
        """Write the critics beside a model, so that fine-tuning can start from them."""
        _write(directory, self.config, self.critics.state_dict())

    def load(self, directory: Path) -> bool:
        """Load the critics beside a model; return whether there are any of this shape.

        Raises ConfigError if the file is damaged.
        """
        found = critics_beside(directory)
        if found is None or replace(found[0], length=self.config.length) != self.config:
            return False
        self.critics.load_state_dict(found[1])
        return True


def critics_beside(directory: Path) -> tuple[CriticConfig, dict[str, Tensor]] | None:
    """Return the shape and the weights of the critics beside a model, or None if there are none.

    Raises ConfigError if the file is damaged.
    """
    path = directory / CRITICS_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return from_dict(CriticConfig, json.loads((file.metadata() or {})["config"])), load_file(path)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(f"{path} holds no critics: {error}") from error


def copy_critics(source: Path, target: Path, dtype: torch.dtype) -> bool:
    """Copy the critics beside a model to another directory in a given precision; return whether there are any."""
    found = critics_beside(source)
    if found is not None:
        _write(target, found[0], {name: value.to(dtype) for name, value in found[1].items()})
    return found is not None


def _write(directory: Path, config: CriticConfig, weights: Mapping[str, Tensor]) -> None:
    tensors = {name: value.contiguous() for name, value in weights.items()}
    save_file(tensors, directory / CRITICS_FILE, {"config": json.dumps(to_dict(config))})
    (directory / CRITICS_FILE).chmod(0o644)  # safetensors makes it private, but containers run as other users
