"""Speak mels of different lengths together, each exactly as if it stood alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vocoder.correction.correction import Correction
from vocoder.mel.config import MelConfig
from vocoder.mel.input import seeds_of
from vocoder.models.base import Vocoder
from vocoder.noise import white_noise
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, run

__all__ = ["Batcher", "Utterance"]


@dataclass(frozen=True)
class Utterance:
    """One mel (n_mels, frames), tensor or array, and how to speak it: as the arguments of `synthesize` say."""

    mel: Any
    sigma: float | None = None
    seed: int | None = None
    denoise: float = 0.0
    corrections: int | None = None
    preset: str | Path | MelConfig | None = None
    adapt: Literal["on", "off"] = "on"

    @property
    def frames(self) -> int:
        """Length of the mel."""
        return int(self.mel.shape[1])


class Batcher:
    """Puts utterances into one row, runs a model on it once, and takes the audio apart again.

    Args:
        model: only one with a `gap` takes more than one utterance at a time.
        correction: that follows the model.
        device: where the model is.
    """

    def __init__(self, model: Vocoder, correction: Correction, device: torch.device) -> None:
        self._model = model
        self._correction = correction
        self._device = device

    def takes(self, frames: int) -> bool:
        """Whether a mel of that length can stand in a row; one too short for the correction is spoken alone."""
        config = self._correction.config
        return self._model.gap is not None and frames * config.hop_length > config.padding

    def row_frames(self, frames: Sequence[int]) -> int:
        """Return how many frames are computed for mels of these lengths."""
        together = [length for length in frames if self.takes(length)]
        return sum(frames) - sum(together) + Packing.needed(together, self._gap())

    def speak_rows(self, mels: Sequence[Tensor], utterances: Sequence[Utterance]) -> dict[int, Tensor]:
        """Return the audio of those mels (n_mels, frames) that stand in a row with others, by their number.

        Args:
            mels: of the utterances, in the model's own contract.
            utterances: that say how to speak them.
        """
        rows: dict[int | None, list[int]] = {}
        for i, mel in enumerate(mels):
            if self.takes(mel.shape[1]):
                rows.setdefault(utterances[i].corrections, []).append(i)
        spoken: dict[int, Tensor] = {}
        for corrections, together in rows.items():
            if len(together) > 1:
                seeds = [seeds_of(utterances[i].seed, 1)[0] for i in together]
                sigmas = [utterances[i].sigma for i in together]
                row = self.speak([mels[i] for i in together], sigmas, seeds, corrections)
                spoken |= dict(zip(together, row, strict=True))
        return spoken

    @torch.no_grad()
    def speak(
        self,
        mels: Sequence[Tensor],
        sigmas: Sequence[float | None],
        seeds: Sequence[int],
        corrections: int | None = None,
    ) -> list[Tensor]:
        """Return the audio (frames * hop_length,) of each mel (n_mels, frames) that this takes."""
        model = self._model
        packing = Packing([mel.shape[1] for mel in mels], self._gap(), self._device)
        drawn = [self._noise(seed, mel.shape[1]) for mel, seed in zip(mels, seeds, strict=True)]
        noise, row = packing.pack(drawn), packing.pack(mels)
        given = [model.config.sigma if sigma is None else sigma for sigma in sigmas]
        sigma = torch.tensor(given, device=self._device)[packing.owners(noise.shape[2] // packing.frames)]
        made = run(model.stages(sigma, packing), {MEL: row, NOISE: noise})
        audio = packing.unpack(made.signal[:, 0])
        return self._correction.with_count(corrections).many(audio, packing.unpack(made.signals[model.target]))

    def _noise(self, seed: int, frames: int) -> Tensor:
        _, channels, steps = self._model.noise_shape(1, frames)
        return white_noise(seed, 0, frames, channels, steps // frames).to(self._device)

    def _gap(self) -> int:
        return self._model.gap or 0
