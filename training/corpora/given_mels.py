"""Mels that come with recordings, such as an acoustic model predicted, aligned with them frame by frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.manifest import Entry, Manifest, ManifestError
from vocoder.admission import Admitted, admit
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.npy import read_mel
from vocoder.sampling import Preset

WITHOUT = "without a mel"


def admitted(mel: NDArray[np.float32], mel_config: MelConfig, samples: int, preset: Preset = None) -> Admitted:
    """Admit a mel (n_mels, frames) of a preset, by default `mel_config`, that came with audio, frame for frame.

    The audio has so many samples at the rate of `mel_config`, to which the mel is converted. The last frame, which is
    centred on the audio's end, may be missing, as it is in HiFi-GAN's layout. Raises ValueError if the mel's shape, its
    values or its number of frames is wrong, or it does not convert; the text says what would be right.
    """
    found = admit(mel, mel_config, preset)
    source = found.path.source
    length = round(samples * source.sample_rate / mel_config.sample_rate)
    least = length // source.hop_length
    if not max(least, 1) <= found.frames <= least + 1:
        raise ValueError(
            f"the mel has {found.frames} frames, but audio of {length} samples has {least} or {least + 1} at a hop of "
            f"{source.hop_length}: predict it with the recording's own durations, and cut neither afterwards"
        )
    return found


def given_mel(
    manifest: Manifest, entry: Entry, mel_config: MelConfig, samples: int
) -> tuple[NDArray[np.float32], int] | None:
    """Return an entry's mel (n_mels, frames) in a mel config, and by how many samples it stands later than the audio.

    It is converted as for a model of that mel config: exactly, or through an adapter. It has a frame for each whole hop
    of the audio, which has so many samples at that rate; one that is lost between frame rates repeats the last. None
    where the entry names no mel. Raises ManifestError if the file cannot be read, or its mel is not `admitted`.
    """
    if entry.mel is None:
        return None
    file = manifest.root / entry.mel
    try:
        found = admitted(read_mel(file), mel_config, samples, entry.mel_preset)
    except (OSError, ValueError) as error:
        raise ManifestError(f"{file}: {error}") from error
    mel, delay = found.mel[0].numpy(), found.path.delay
    missing = max((samples - delay) // mel_config.hop_length - mel.shape[1], 0)
    return np.pad(mel, ((0, 0), (0, missing)), mode="edge"), delay


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
