"""The candidates of an evaluation: the recordings, Griffin-Lim and models."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import librosa
import numpy as np
import torch

from training.evaluate.metric import Audio
from training.evaluate.options import Comparison
from training.evaluate.recordings import Recording
from training.provenance import heard_speakers
from vocoder.mel.config import MelConfig
from vocoder.mel.conventions import NATURAL
from vocoder.mel.convert import convert, plain
from vocoder.mel.spectrogram import mel_filterbank
from vocoder.sampling import Sampling
from vocoder.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True)
class Candidate:
    """A row of the table."""

    name: str
    mel_config: MelConfig
    """config of its input mels; audio is compared at its sample rate"""
    synthesize: Callable[[Audio], Audio] | None = None
    """mel (n_mels, frames) -> x (frames * hop_length,); None for the recording itself"""
    trained: bool = False
    heard: frozenset[tuple[str, str | None]] | None = None
    """(corpus, speaker) of the voices it was trained on, (corpus, None) for a whole corpus; None if unknown"""
    takes_given: bool = True
    """whether it uses mels that came with recordings, if there are any, instead of the audio's own"""
    weights_sha256: str | None = None

    def has_heard(self, recording: Recording) -> bool:
        """Return whether a recording's voice was in the training data, as the model or else the manifest says."""
        entry = recording.entry
        if self.heard is None:
            return not self.trained or entry.speaker in recording.manifest.trained_speakers
        return not self.heard.isdisjoint({(entry.corpus, entry.speaker), (entry.corpus, None)})


def of_vocoder(vocoder: Synthesizer, name: str, options: Comparison) -> Candidate:
    """Return the candidate for a model; every utterance uses the same seed."""
    sampling = {option: getattr(options, option) for option in ("sigma", "corrections", "sharpen", "seed")}
    heard, weights = heard_speakers(vocoder.provenance), vocoder.weights_sha256
    Sampling(**sampling)  # refuses impossible values before recordings are scored
    synthesize = partial(vocoder.synthesize, **sampling)
    return Candidate(name, vocoder.mel_config, synthesize, trained=True, heard=heard, weights_sha256=weights)


def on_both(candidate: Candidate) -> list[Candidate]:
    """Return a candidate's variants for true and for predicted mels."""
    return [replace(candidate, takes_given=False), replace(candidate, name=f"{candidate.name}, predicted mels")]


def griffin_lim(config: MelConfig, mel: Audio, iterations: int = 60) -> Audio:
    """Return audio (frames * hop_length,) made from a mel (n_mels, frames) without a model.

    Non-negative least squares give a magnitude spectrogram, then iterations the phases (Griffin and Lim, "Signal
    estimation from modified short-time Fourier transform", 1984; with the momentum of Perraudin, Balazs, Sondergaard,
    "A fast Griffin-Lim algorithm", 2013; librosa implements both steps).
    """
    natural = replace(plain(config), **NATURAL)
    filterbank = mel_filterbank(config).float().numpy()
    energy = np.exp(convert(torch.from_numpy(mel), config, natural).numpy())
    magnitude = librosa.util.nnls(filterbank, energy) ** (1.0 / config.power)
    framing = {name: getattr(config, name) for name in ("hop_length", "win_length", "n_fft")}
    length = mel.shape[1] * config.hop_length
    # One sample less, so that librosa centres exactly this number of frames.
    x = librosa.griffinlim(magnitude, n_iter=iterations, random_state=0, length=length - 1, **framing)
    # librosa centres frame i on sample i * hop_length; other framings start later by the padding added here.
    return np.pad(x, (config.n_fft // 2 - config.padding, 1))[:length].astype(np.float32)
