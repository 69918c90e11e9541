"""The candidates of an evaluation: the recordings themselves, Griffin-Lim, and models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace

import librosa
import numpy as np
import torch

from training.data.mel_variation import VariationConfig, like_predicted
from training.evaluate.density import Density, density_of
from training.evaluate.metric import Audio
from training.evaluate.recordings import Recording
from training.provenance import heard_speakers
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert
from vocoder.mel.spectrogram import MelSpectrogram, mel_filterbank
from vocoder.synthesis.synthesizer import Synthesizer

__all__ = [
    "ON_PREDICTED",
    "Candidate",
    "GriffinLim",
    "griffin_lim",
    "ground_truth",
    "mel_of",
    "of_vocoder",
    "on_both",
    "smoothed",
]

ON_PREDICTED = ", predicted mels"
"""suffix of the name of a candidate's second row"""


@dataclass(frozen=True)
class Candidate:
    """A row of the table.

    Attributes:
        name: unique in an evaluation.
        mel_config: of the mels that it takes; audio is compared at its sample rate.
        speak: mel (n_mels, frames) -> x (frames * hop_length,); None for the recording itself.
        density: its likelihood model, if it has one.
        trained: whether it is a trained model.
        heard: (corpus, speaker) of the voices it was trained on, (corpus, None) for a whole corpus; None if unknown.
        takes_given: whether it uses the mels that came with recordings, if there are any, instead of their own.
    """

    name: str
    mel_config: MelConfig
    speak: Callable[[Audio], Audio] | None = None
    density: Density | None = None
    trained: bool = False
    heard: frozenset[tuple[str, str | None]] | None = None
    takes_given: bool = True

    def has_heard(self, recording: Recording) -> bool:
        """Return whether training included the voice of a recording; the manifest decides if the model does not say.

        True for candidates that are not trained.
        """
        if not self.trained:
            return True
        if self.heard is None:
            return recording.seen
        return not self.heard.isdisjoint({(recording.corpus, recording.speaker), (recording.corpus, None)})


def ground_truth(mel_config: MelConfig) -> Candidate:
    """Return the recordings themselves: what a perfect vocoder would score."""
    return Candidate("ground truth", mel_config)


def griffin_lim(mel_config: MelConfig) -> Candidate:
    """Return Griffin-Lim with 60 iterations."""
    return Candidate("Griffin-Lim", mel_config, speak=GriffinLim(mel_config))


def of_vocoder(
    vocoder: Synthesizer, name: str, sigma: float | None = None, seed: int = 0, corrections: int | None = None
) -> Candidate:
    """Return a model; the same seed is used for every utterance."""

    def speak(mel: Audio) -> Audio:
        return np.asarray(vocoder.synthesize(mel, sigma=sigma, seed=seed, corrections=corrections), dtype=np.float32)

    heard = heard_speakers(vocoder.provenance)
    return Candidate(name, vocoder.mel_config, speak=speak, density=density_of(vocoder), trained=True, heard=heard)


def on_both(candidate: Candidate) -> list[Candidate]:
    """Return a candidate for the recordings' own mels, and one for the mels that an acoustic model predicted.

    The recordings themselves need no mel, so they stay one row. Densities are computed with true mels only.
    """
    if candidate.speak is None:
        return [candidate]
    return [
        replace(candidate, takes_given=False),
        replace(candidate, name=f"{candidate.name}{ON_PREDICTED}", density=None),
    ]


def smoothed(candidate: Candidate, seed: int = 0) -> Candidate:
    """Return a candidate that gets mels smoothed along time and bands, like those of acoustic models.

    The amount is random for each utterance, and the same for all candidates. Recordings are not changed, and densities
    are left out.
    """
    speak = candidate.speak
    if speak is None:
        return candidate

    def speak_smoothed(mel: Audio) -> Audio:
        generator = torch.Generator().manual_seed(seed + mel.shape[1])
        return speak(like_predicted(torch.from_numpy(mel), "both", VariationConfig(), generator).numpy())

    return replace(candidate, speak=speak_smoothed, density=None)


def mel_of(x: Audio, mel_config: MelConfig) -> Audio:
    """Return the mel (n_mels, frames) of audio x (T,)."""
    with torch.inference_mode():
        mel: Audio = MelSpectrogram(mel_config)(torch.from_numpy(x)[None])[0].numpy()
    return mel


class GriffinLim:
    """Mel to audio without a model: non-negative least squares to a spectrogram, then phases by iteration.

    (Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984; momentum of Perraudin,
    Balazs, Sondergaard, "A fast Griffin-Lim algorithm", 2013; librosa's implementation of both steps.)
    """

    def __init__(self, mel_config: MelConfig, iterations: int = 60, momentum: float = 0.99, seed: int = 0) -> None:
        self.mel_config = mel_config
        self.iterations = iterations
        self.momentum = momentum
        self.seed = seed
        self._natural = dataclasses.replace(
            mel_config,
            name="natural logarithm",
            log="ln",
            ref_db=0.0,
            range_db=None,
            range_low=0.0,
            range_high=1.0,
            mean=None,
            variance=None,
        )
        self._filterbank = mel_filterbank(mel_config).float().numpy()

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
