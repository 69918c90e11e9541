"""Mels that come with recordings, such as an acoustic model predicted, aligned with them frame by frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.manifest import Entry, Manifest, ManifestError
from vocoder.adapt.path import path_between
from vocoder.adapt.shape import shape_fault
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.values import finite_values, mel_range
from vocoder.npy import read_mel

WITHOUT = "without a mel"


def check_given_mel(mel: NDArray[np.float32], mel_config: MelConfig, samples: int) -> None:
    """Require a mel (n_mels, frames) of a mel config that fits audio of `samples` samples at its rate, frame for frame.

    The last frame, which is centred on the audio's end, may be missing, as it is in HiFi-GAN's layout. Raises
    ValueError if its shape, its values or its number of frames is wrong; the text says what would be right.
    """
    if fault := shape_fault(mel.shape, mel_config.n_mels, mel_config):
        raise ValueError(fault)
    least, frames = samples // mel_config.hop_length, mel.shape[1]
    if not max(least, 1) <= frames <= least + 1:
        raise ValueError(
            f"the mel has {frames} frames, but audio of {samples} samples has {least} or {least + 1} at a hop of "
            f"{mel_config.hop_length}: predict it with the recording's own durations, and cut neither afterwards"
        )
    values = finite_values(mel)
    if fault := mel_range(mel_config).fault(float(values.min()), float(values.max())):
        raise ValueError(fault)


def given_mel(
    manifest: Manifest, entry: Entry, mel_config: MelConfig, samples: int
) -> tuple[NDArray[np.float32], int] | None:
    """Return an entry's mel (n_mels, frames) in a mel config, and by how many samples it stands later than the audio.

    It is converted as for a model of that mel config: exactly, or through an adapter. It has a frame for each whole hop
    of the audio, which has so many samples at that rate; one that is lost between frame rates repeats the last. None
    where the entry names no mel. Raises ManifestError if the file cannot be read, `check_given_mel` finds it wrong, or
    it does not convert.
    """
    if entry.mel is None:
        return None
    file = manifest.root / entry.mel
    try:
        source = mel_config if entry.mel_preset is None else load_mel_config(entry.mel_preset)
        values = read_mel(file)
        check_given_mel(values, source, round(samples * source.sample_rate / mel_config.sample_rate))
        path = path_between(source, mel_config)
        mel = path.convert(torch.from_numpy(values)).numpy()
    except (OSError, ValueError) as error:
        raise ManifestError(f"{file}: {error}") from error
    missing = max((samples - path.delay) // mel_config.hop_length - mel.shape[1], 0)
    return np.pad(mel, ((0, 0), (0, missing)), mode="edge"), path.delay


def with_mels(corpus: Corpus, folder: Path, mel_preset: str) -> Corpus:
    """Return a corpus whose recordings have the mels of a folder; those that lack one are not to be used.

    The mel of `SPEAKER/NAME.wav` is `SPEAKER/NAME.npy` or `NAME.npy`, as HiFi-GAN's fine-tuning has it.

    Raises CorpusError if the folder is missing, or holds a mel of no recording, ConfigError for an unknown mel config.
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
    for path in (folder / recording.speaker / f"{recording.stem}.npy", folder / f"{recording.stem}.npy"):
        if path.is_file():
            return replace(recording, mel=path)
    return replace(recording, unusable=recording.unusable or WITHOUT)
