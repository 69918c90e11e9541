"""Mels of a model's own contract to audio: at once, in parts, or in the stages of a stream."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vocoder.correction.correction import Correction
from vocoder.denoiser import Denoiser, silent_mel
from vocoder.mel.config import MelConfig
from vocoder.models.base import Vocoder
from vocoder.noise import white_noise
from vocoder.stages import MEL, NOISE, Stage, run
from vocoder.streaming.denoising import denoising_stage
from vocoder.streaming.pipeline import Pipeline

__all__ = ["Speaker"]

WHOLE_FRAMES = 1024
"""frames of all mels of a batch that are computed at once; more are computed in parts"""
PART_FRAMES = 512
"""frames of all mels of a batch in a part"""
LEAST_PART_FRAMES = 128
"""frames of each mel in a part, whatever the size of the batch: the context of the stages must not weigh much"""


class Speaker:
    """Runs a model, the correction towards its mel and the removal of its bias.

    Args:
        model: on its device.
        mel_config: its contract.
        device: where it is.
    """

    def __init__(self, model: Vocoder, mel_config: MelConfig, device: torch.device) -> None:
        self.model = model
        self.mel_config = mel_config
        self.device = device
        self.correction = Correction(mel_config, model.config.corrections).to(device)
        self._denoiser: Denoiser | None = None

    def speak(
        self, batch: Tensor, sigma: float | None, seeds: list[int], denoise: float, corrections: int | None
    ) -> Tensor:
        """Return audio (B, frames * hop_length) of mels (B, n_mels, frames), one seed for each."""
        with torch.inference_mode():  # spares each operation a part of its overhead
            x = self._spoken(batch, sigma, seeds, denoise, corrections)
        return x.clone()  # outside of that mode, so that gradients may begin with it

    def _spoken(
        self, batch: Tensor, sigma: float | None, seeds: list[int], denoise: float, corrections: int | None
    ) -> Tensor:
        if batch.shape[0] * batch.shape[2] > WHOLE_FRAMES:
            return self._in_parts(batch, self.pipeline(sigma, seeds, denoise, corrections))
        stages = self._stages(sigma, denoise, corrections)
        return run(stages, {MEL: batch, NOISE: self._noise(seeds, 0, batch.shape[2])}).signal[:, 0]

    def pipeline(self, sigma: float | None, seeds: list[int], denoise: float, corrections: int | None) -> Pipeline:
        """Return the stages of mels that come piece by piece, one seed for each."""
        return Pipeline(self._stages(sigma, denoise, corrections), partial(self._noise, seeds))

    def _stages(self, sigma: float | None, denoise: float, corrections: int | None) -> list[Stage]:
        """Return the stages from mel and noise to the audio (B, 1, T) that is heard."""
        stages = self.model.stages(sigma)
        stages += self.correction.with_count(corrections).stages(stages[-1].output, self.model.target)
        if denoise > 0:
            stages.append(denoising_stage(self._bias(), denoise, self.mel_config.hop_length, stages[-1].output))
        return stages

    def without_bias(self, x: Tensor, denoise: float) -> Tensor:
        """Return audio (B, T) with so much of the model's bias taken out."""
        return self._bias().remove(x, denoise) if denoise > 0 else x

    def _in_parts(self, batch: Tensor, pipeline: Pipeline) -> Tensor:
        """Return what would be made of the mels (B, n_mels, frames) at once, in memory that does not grow with them."""
        frames, hop_length = batch.shape[2], self.mel_config.hop_length
        part = max(PART_FRAMES // batch.shape[0], LEAST_PART_FRAMES)
        pipeline.feed(batch)
        pipeline.finish()
        x = torch.empty(batch.shape[0], frames * hop_length, device=self.device)
        for start in range(0, frames, part):
            stop = min(start + part, frames)
            x[:, start * hop_length : stop * hop_length] = pipeline.advance(stop - start)[:, 0]
        return x

    def _noise(self, seeds: list[int], start: int, frames: int) -> Tensor:
        """Return white noise (B, C, steps) for the frames from `start` on, one seed for each item."""
        _, channels, steps = self.model.noise_shape(1, frames)
        rows = [white_noise(seed, start, frames, channels, steps // frames).T for seed in seeds]
        together = rows[0][None] if len(rows) == 1 else torch.stack(rows)
        return together.to(self.device).transpose(1, 2)  # in memory as it was drawn

    def _bias(self) -> Denoiser:
        if self._denoiser is None:
            mel = silent_mel(self.mel_config).to(self.device)
            noise = self._noise([0], 0, mel.shape[2])
            self._denoiser = Denoiser(run(self._stages(0.0, 0.0, None), {MEL: mel, NOISE: noise}).signal[:, 0])
        return self._denoiser
