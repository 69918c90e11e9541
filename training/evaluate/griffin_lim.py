"""Griffin-Lim, what a user without a vocoder falls back to."""

from __future__ import annotations

import dataclasses
from typing import Any

import librosa
import numpy as np

from training.evaluate.metric import Audio
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert
from vocoder.mel.filterbank import mel_filterbank

__all__ = ["GriffinLim"]


class GriffinLim:
    """Mel to audio without a model: non-negative least squares to a spectrogram, then phases by iteration.

    (Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984; momentum of Perraudin,
    Balazs, Sondergaard, "A fast Griffin-Lim algorithm", 2013; librosa's implementation of both steps.)

    Args:
        mel_config: the contract of the mels.
        iterations: of the phase.
        momentum: below 1.
        seed: of the first phases.
    """

    def __init__(self, mel_config: MelConfig, iterations: int = 60, momentum: float = 0.99, seed: int = 0) -> None:
        self.mel_config = mel_config
        self.iterations = iterations
        self.momentum = momentum
        self.seed = seed
        self._natural = dataclasses.replace(
            mel_config, name="natural logarithm", log="ln", ref_db=0.0, range_db=None, mean=None, variance=None
        )
        self._filterbank = mel_filterbank(mel_config).float().numpy()

    def identity(self) -> dict[str, Any]:
        """Return everything that determines the result, ready for JSON; `version` counts changes of this file."""
        settings = {"iterations": self.iterations, "momentum": self.momentum, "seed": self.seed}
        return {"method": "griffin-lim", "version": 1, **settings, "mel": dataclasses.asdict(self.mel_config)}

    def __call__(self, mel: Audio) -> Audio:
        """Return audio (frames * hop_length,) from mel (n_mels, frames)."""
        config = self.mel_config
        energy = np.exp(convert(mel, config, self._natural))
        magnitude = librosa.util.nnls(self._filterbank, energy) ** (1.0 / config.power)
        length = mel.shape[1] * config.hop_length
        x = librosa.griffinlim(
            magnitude,
            n_iter=self.iterations,
            hop_length=config.hop_length,
            win_length=config.win_length,
            n_fft=config.n_fft,
            momentum=self.momentum,
            random_state=self.seed,
            # One sample less than the frames span: as many as still have this number of centred frames.
            length=length - 1,
        )
        # librosa centres frame i on sample i * hop_length; other framings start that much later.
        late = config.n_fft // 2 - config.padding
        return np.pad(x, (late, 1))[:length].astype(np.float32)
