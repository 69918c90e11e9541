"""What every vocoder offers, and what those with a density offer beside it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.config import Checked, Count, NotNegative, NotNegativeInt
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, Stage, Z, run


@dataclass(frozen=True)
class VocoderConfig(Checked):
    """What the configuration of every vocoder has."""

    n_mels: Count = 80
    hop_length: Count = 256
    """samples per mel frame"""
    sample_rate: Count = 22050
    corrections: NotNegativeInt = 0
    """how often a sample is corrected towards its mel, outside its density; in training alike"""
    sigma: NotNegative = 1.0
    """default sampling temperature"""


class Vocoder(nn.Module, ABC):
    """A model that turns noise (B, C, steps) and a mel (B, n_mels, frames) into audio (B, frames * hop_length).

    Its way from noise to audio is a list of stages, written once: `sample` runs them over whole utterances, a stream
    piece by piece.

    Attributes:
        config: of the architecture; its `sigma` is the default sampling temperature.
        noise_channels: C of the noise, which has as many values as there are samples.
        sequential: whether audio is made sample by sample, each out of those before it, rather than in parallel.
        target: name of the signal that is the mel of its audio: the given one, unless its stages make another.
        packs: whether its stages take rows of several utterances.
    """

    config: VocoderConfig
    noise_channels = 1
    sequential = False
    target = MEL
    packs = False

    @property
    def steps_per_frame(self) -> int:
        """Steps of the noise that belong to a frame of the mel."""
        return self.config.hop_length // self.noise_channels

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""
        return batch, self.noise_channels, frames * self.steps_per_frame

    def frames_of_steps(self, steps: int) -> int:
        """Return how many frames hold so many steps of the noise."""
        return -(-steps * self.noise_channels // self.config.hop_length)

    @abstractmethod
    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from `MEL` and `NOISE` over `Z` to audio (B, 1, T), fresh: some of them remember.

        `sigma` is the sampling temperature, or one for each step of the noise, and by default the model's. `packing`
        says where each utterance stands, if batches are rows of several.
        """

    def sample(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into audio (B, T)."""
        return run(self.stages(sigma), {MEL: mel, NOISE: noise}).signal.squeeze(1)

    def synthesize(self, mel: Tensor) -> Tensor:
        """Return a random sample x (B, T) for a mel (B, n_mels, frames), at the model's own temperature."""
        return self.sample(torch.randn(self.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device), mel)


class FlowVocoder(Vocoder):
    """A vocoder that is a flow between audio x (B, frames * hop_length) and noise z (B, C, steps), given a mel.

    `forward` is audio to noise, and `inverse` runs the stages. `log_det` has shape (B,), as that of every flow.
    """

    @abstractmethod
    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio x to noise and return `(z, log_det)`."""

    def inverse(self, z: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise z to audio and return `(x, log_det)`."""
        made = run(self.stages(), {MEL: mel, Z: z})
        return made.signal.squeeze(1), made.log_det

    def prior(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into the `z` to sample from."""
        return run(self.stages(sigma), {MEL: mel, NOISE: noise}, Z).signal
