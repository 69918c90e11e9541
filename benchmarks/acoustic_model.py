"""A stand-in for an acoustic model: mels from coarse features of themselves, by least squares and as smooth.

What a mel is predicted from here are its first cepstral coefficients, averaged over some frames: what a speaker and a
text decide. Least squares answer with the mean of all mels that have those features, as regression does in an acoustic
model, so the detail that features do not tell is smoothed away, and what is left has errors of its own. There are no
phonemes and no durations here; frames are aligned with the recording, as where a model is forced to its durations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AcousticModel", "fitted"]

_CENTRE = -5.0
"""natural logarithm that values are taken from, about the mean of speech"""


class AcousticModel(nn.Module):
    """Predicts a mel from coarse features of a true one.

    Args:
        n_mels: bands.
        cepstra: coefficients of a frame that are known.
        frames: that share one set of them.
        width: channels.
    """

    dct: Tensor

    def __init__(self, n_mels: int = 80, cepstra: int = 24, frames: int = 3, width: int = 192) -> None:
        super().__init__()
        self.frames = frames
        angles = torch.outer(torch.arange(cepstra), torch.arange(n_mels) + 0.5) * torch.pi / n_mels
        self.register_buffer("dct", 2 * torch.cos(angles) / n_mels)
        layers = [nn.Conv1d(size, width, 5, padding=2) for size in (cepstra, width, width)]
        self.net = nn.Sequential(
            *(part for layer in layers for part in (layer, nn.GELU())), nn.Conv1d(width, n_mels, 1)
        )

    def forward(self, mel: Tensor) -> Tensor:
        """Return what is predicted (B, n_mels, frames) of a mel (B, n_mels, frames)."""
        cepstra = self.dct @ (mel - _CENTRE)
        missing = -cepstra.shape[-1] % self.frames
        mean = F.avg_pool1d(F.pad(cepstra, (0, missing), mode="replicate"), self.frames)
        known = F.interpolate(mean, scale_factor=float(self.frames), mode="linear")
        predicted: Tensor = self.net(known[..., : mel.shape[-1]]) + _CENTRE
        return predicted

    @torch.inference_mode()
    def predict(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is predicted (n_mels, frames) of a mel (n_mels, frames)."""
        values: NDArray[np.float32] = self(torch.from_numpy(mel)[None])[0].numpy()
        return values


def fitted(
    mels: Sequence[NDArray[np.float32]], steps: int = 400, batch_size: int = 8, length: int = 160, seed: int = 0
) -> AcousticModel:
    """Return a model fitted by least squares to mels (n_mels, frames), those of `length` frames and more."""
    torch.manual_seed(seed)
    model = AcousticModel(len(mels[0]))
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    long = [torch.from_numpy(mel) for mel in mels if mel.shape[1] >= length]
    drawn = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = [long[place] for place in drawn.integers(len(long), size=batch_size)]
        starts = [int(drawn.integers(mel.shape[1] - length + 1)) for mel in chosen]
        batch = torch.stack([mel[:, start : start + length] for mel, start in zip(chosen, starts, strict=True)])
        optimiser.zero_grad()
        loss = F.mse_loss(model(batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return model.eval()
