"""The interface of vocoders, and of those that are flows and have a density."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.config import Checked, Corrections, Count, NotNegative
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, Stage, Z, run


@dataclass(frozen=True)
class VocoderConfig(Checked):
    """The fields of every vocoder's configuration."""

    n_mels: Count = 80
    hop_length: Count = 256  # samples per mel frame
    sample_rate: Count = 22050
    corrections: Corrections = 0
    """number of corrections of a sample towards its mel, outside the density; also in training"""
    sigma: NotNegative = 1.0  # default sampling temperature


class Vocoder(nn.Module, ABC):
    """A model that turns noise (B, C, steps) and a mel (B, n_mels, frames) into audio (B, frames * hop_length).

    `stages` lists the steps from noise to audio: `sample` runs them over whole utterances, a stream piece by piece.
    """

    config: VocoderConfig  # architecture, and the default sampling temperature, `sigma`
    noise_channels = 1  # C of the noise, which has as many values as the audio
    sequential = False  # whether audio is generated sample by sample rather than in parallel
    target = MEL  # signal that holds the mel of the audio: the given mel, unless a stage computes another
    packs = False  # whether the stages support rows of several utterances

    @property
    def steps_per_frame(self) -> int:
        """Steps of the noise per mel frame."""
        return self.config.hop_length // self.noise_channels

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return the shape (B, C, steps) of the noise for a mel of `frames` frames."""
        return batch, self.noise_channels, frames * self.steps_per_frame

    def frames_of_steps(self, steps: int) -> int:
        """Return the number of frames that contain `steps` steps of the noise, rounded up."""
        return -(-steps * self.noise_channels // self.config.hop_length)

    @abstractmethod
    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return new stages from `MEL` and `NOISE` through `Z` to audio (B, 1, T); some have state.

        `sigma` is the sampling temperature, or one per step of the noise; by default the model's own. `packing` holds
        the positions of the utterances in a row of several.
        """

    def sample(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into audio (B, T)."""
        return run(self.stages(sigma), {MEL: mel, NOISE: noise}).signal.squeeze(1)

    def synthesize(self, mel: Tensor) -> Tensor:
        """Return a random sample x (B, T) for a mel (B, n_mels, frames), at the model's own temperature."""
        return self.sample(torch.randn(self.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device), mel)


class FlowVocoder(Vocoder):
    """A vocoder that is a flow between audio x (B, frames * hop_length) and noise z (B, C, steps), given a mel.

    `forward` maps audio to noise, and `inverse` runs the stages. `log_det` has shape (B,), as in every flow.
    """

    @abstractmethod
    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio x to noise and return `(z, log_det)`."""

    def inverse(self, z: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise z to audio and return `(x, log_det)`."""
        made = run(self.stages(), {MEL: mel, Z: z})
        return made.signal.squeeze(1), made.log_det
