"""Mels that come with recordings, such as an acoustic model predicted, aligned with them frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.manifest import Entry, Manifest, ManifestError
from vocoder.adapt.path import path_between
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.file import read_mel
from vocoder.mel.range import mel_range

__all__ = ["GivenMel", "check_given_mel", "given_mel", "with_mels"]

WITHOUT = "without a mel"


@dataclass(frozen=True)
class GivenMel:
    """A mel that stands for a recording's own.

    Attributes:
        values: (n_mels, frames).
        mel_config: that it was made with; None for that of whoever reads it.
        source: its file, for errors.
    """

    values: NDArray[np.float32]
    mel_config: MelConfig | None
    source: str

    def fitted(self, mel_config: MelConfig, samples: int) -> tuple[NDArray[np.float32], int]:
        """Return the mel (n_mels, frames) in another mel config, and by how many samples its frames stand later there.

        It is converted as for a model of that mel config: exactly, or through an adapter. It has a frame for each whole
        hop of the audio; one that is lost between frame rates repeats the last.

        Args:
            mel_config: wanted; its sample rate is that of the audio.
            samples: of the audio.

        Raises:
            ManifestError: the mel does not convert, or `check_given_mel` finds it wrong.
        """
        source = self.mel_config or mel_config
        try:
            check_given_mel(self.values, source, _at(source.sample_rate, samples, mel_config.sample_rate))
            path = path_between(source, mel_config)
            mel = path.convert(torch.from_numpy(self.values)).numpy()
        except (MelMismatchError, ValueError) as error:
            raise ManifestError(f"{self.source}: {error}") from error
        missing = max((samples - path.delay) // mel_config.hop_length - mel.shape[1], 0)
        return np.pad(mel, ((0, 0), (0, missing)), mode="edge"), path.delay


def _at(sample_rate: int, samples: int, own_rate: int) -> int:
    return round(samples * sample_rate / own_rate)


def check_given_mel(mel: NDArray[np.float32], mel_config: MelConfig, samples: int) -> None:
    """Require a mel (n_mels, frames) of a mel config that fits audio of `samples` samples at its rate, frame for frame.

    The last frame, which is centred on the audio's end, may be missing, as it is in HiFi-GAN's layout.

    Raises:
        ValueError: its shape, its values or its number of frames is wrong; the text says what would be right.
    """
    bands, frames = mel.shape
    if bands != mel_config.n_mels:
        hint = "; it looks transposed" if frames == mel_config.n_mels else ""
        raise ValueError(f"the mel must be ({mel_config.n_mels}, frames), not {mel.shape}{hint}")
    least = samples // mel_config.hop_length
    if not max(least, 1) <= frames <= least + 1:
        raise ValueError(
            f"the mel has {frames} frames, but audio of {samples} samples has {least} or {least + 1} at a hop of "
            f"{mel_config.hop_length}: predict it with the recording's own durations, and cut neither afterwards"
        )
    if not np.isfinite(mel).all():
        raise ValueError("the mel holds values that are not finite (NaN or infinity)")
    fault = mel_range(mel_config).fault(float(mel.min()), float(mel.max()))
    if fault is not None:
        raise ValueError(fault)


def given_mel(manifest: Manifest, entry: Entry) -> GivenMel | None:
    """Return the mel that an entry names, or None where it names none.

    Raises:
        ManifestError: the file cannot be read, or the mel config is unknown.
    """
    if entry.mel is None:
        return None
    path = manifest.root / entry.mel
    try:
        return GivenMel(
            read_mel(path), None if entry.mel_preset is None else load_mel_config(entry.mel_preset), str(path)
        )
    except (OSError, ConfigError, ValueError) as error:
        raise ManifestError(f"the mel of {entry.path} in {path} cannot be read: {error}") from error


def with_mels(corpus: Corpus, folder: Path, mel_preset: str) -> Corpus:
    """Return a corpus whose recordings have the mels of a folder; those that lack one are not to be used.

    The mel of `SPEAKER/NAME.wav` is `SPEAKER/NAME.npy` or `NAME.npy`, as HiFi-GAN's fine-tuning has it.

    Raises:
        CorpusError: the folder is missing, or holds a mel of no recording.
        ConfigError: there is no such mel config.
    """
    load_mel_config(mel_preset)
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder of mels")
    found = tuple(_with_mel(recording, folder) for recording in corpus.recordings)
    if not any(recording.mel for recording in found):
        wanted = f"{corpus.recordings[0].stem}.npy"
        raise CorpusError(f"{folder} holds no mel of {corpus.name}: each is named like its recording, such as {wanted}")
    return replace(corpus, recordings=found, mel_preset=mel_preset)


def _with_mel(recording: Recording, folder: Path) -> Recording:
    path = next((path for path in _candidates(recording, folder) if path.is_file()), None)
    if path is None:
        return replace(recording, unusable=recording.unusable or WITHOUT)
    return replace(recording, mel=path)


def _candidates(recording: Recording, folder: Path) -> Iterator[Path]:
    yield folder / recording.speaker / f"{recording.stem}.npy"
    yield folder / f"{recording.stem}.npy"
