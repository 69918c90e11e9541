"""The candidates of an evaluation: the recordings themselves, Griffin-Lim, and models."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import librosa
import numpy as np
import torch

from training.evaluate.metric import Audio
from training.evaluate.recordings import Recording
from training.provenance import heard_speakers
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert
from vocoder.mel.spectrogram import MelSpectrogram, mel_filterbank
from vocoder.synthesis.synthesizer import Synthesizer

ON_PREDICTED = ", predicted mels"
"""suffix of the name of a candidate's second row"""


@dataclass(frozen=True)
class Candidate:
    """A row of the table.

    Attributes:
        mel_config: of the mels that it takes; audio is compared at its sample rate.
        synthesize: mel (n_mels, frames) -> x (frames * hop_length,); None for the recording itself.
        heard: (corpus, speaker) of the voices it was trained on, (corpus, None) for a whole corpus; None if unknown.
        takes_given: whether it uses the mels that came with recordings, if there are any, instead of their own.
    """

    name: str
    mel_config: MelConfig
    synthesize: Callable[[Audio], Audio] | None = None
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


def of_vocoder(vocoder: Synthesizer, name: str, *, seed: int = 0, **options: Any) -> Candidate:
    """Return a model with options of its `synthesize`; the same seed is used for every utterance."""

    def synthesize(mel: Audio) -> Audio:
        return np.asarray(vocoder.synthesize(mel, seed=seed, **options), dtype=np.float32)

    return Candidate(name, vocoder.mel_config, synthesize, trained=True, heard=heard_speakers(vocoder.provenance))


def on_both(candidate: Candidate) -> list[Candidate]:
    """Return a candidate for the recordings' own mels, and one for the mels that an acoustic model predicted.

    The recordings themselves need no mel, so they stay one row.
    """
    if candidate.synthesize is None:
        return [candidate]
    return [replace(candidate, takes_given=False), replace(candidate, name=f"{candidate.name}{ON_PREDICTED}")]


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

    def __init__(self, mel_config: MelConfig, iterations: int = 60) -> None:
        self.mel_config = mel_config
        self.iterations = iterations
        plain = {"ref_db": 0.0, "range_db": None, "range_low": 0.0, "range_high": 1.0, "mean": None, "variance": None}
        self._natural = replace(mel_config, name="natural logarithm", log="ln", **plain)  # type: ignore[arg-type]
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
            random_state=0,
            # One sample less than the frames span: as many as still have this number of centred frames.
            length=length - 1,
        )
        # librosa centres frame i on sample i * hop_length; other framings start that much later.
        late = config.n_fft // 2 - config.padding
        return np.pad(x, (late, 1))[:length].astype(np.float32)
