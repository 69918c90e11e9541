"""Mels that come with recordings, such as an acoustic model's predictions, aligned with them frame by frame."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.corpus import Corpus, CorpusError
from training.corpora.manifest import Entry, Manifest, ManifestError
from vocoder.admission import Admitted, admit
from vocoder.guard.verdict import UNFAMILIAR, UNSURE, Verdict
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.conventions import NOT_SPEECH, SHUFFLED
from vocoder.npy import read_mel
from vocoder.sampling import Preset

JUDGED = 20  # mels of a corpus that the guard judges
FEWEST = 5  # mels with the same fault from which it is certain
NEARLY_ALL = 0.9  # share of the mels that must have it
UNEXPLAINED = (UNSURE, UNFAMILIAR, NOT_SPEECH, SHUFFLED, "silence")  # causes that name no other convention


def admitted(mel: NDArray[np.float32], mel_config: MelConfig, samples: int, preset: Preset = None) -> Admitted:
    """Admit a mel (n_mels, frames) of a preset, by default `mel_config`, that is aligned with audio.

    The mel is converted to `mel_config`, at whose rate the audio has `samples`. The last frame, which is centred on the
    audio's end, may be missing, as in HiFi-GAN's layout. Raises ValueError if the mel's shape, values or frame count
    are wrong, or it cannot be converted; the message says what would be right.
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
    """Return an entry's mel (n_mels, frames) in a mel config, and its delay behind the audio in samples.

    The mel is converted exactly or by an adapter, as for a model of that mel config. It has a frame for each whole hop
    of the audio's `samples`; a frame lost between frame rates repeats the last one. Return None if the entry has no
    mel. Raises ManifestError if the file cannot be read or its mel is not `admitted`.
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
    """Return a corpus whose recordings have the mels of a folder; recordings without a mel become unusable.

    The mel of `SPEAKER/NAME.wav` is `SPEAKER/NAME.npy` or `NAME.npy`, as in HiFi-GAN's fine-tuning. A warning says if
    most of the first mels are not typical of the mel config.

    Raises CorpusError if the folder is missing, has none of the mels, or nearly all of the first ones follow another,
    known convention; ConfigError for an unknown mel config.
    """
    config = load_mel_config(mel_preset)
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder of mels")
    found = []
    for recording in corpus.recordings:
        paths = (folder / recording.speaker / f"{recording.stem}.npy", folder / f"{recording.stem}.npy")
        mel = next(filter(Path.is_file, paths), None)
        found.append(replace(recording, mel=mel, unusable=recording.unusable or ("" if mel else "without a mel")))
    if not any(recording.mel for recording in found):
        wanted = f"{corpus.recordings[0].stem}.npy"
        raise CorpusError(f"{folder} has no mels of {corpus.name}: name each like its recording, such as {wanted}")
    _judge([recording.mel for recording in found if recording.mel][:JUDGED], config)
    return replace(corpus, recordings=tuple(found), mel_preset=config.name if config in PRESETS.values() else config)


def _judge(files: Sequence[Path], config: MelConfig) -> None:
    """Warn if most mels are not typical, or raise a CorpusError if the guard knows why; the rest is reported later."""
    verdicts: list[Verdict] = []
    for file in files:
        with suppress(OSError, ValueError):
            verdicts += admit(read_mel(file), config, guard="warn").verdicts
    doubts = [verdict for verdict in verdicts if not verdict.typical]
    if 2 * len(doubts) > len(verdicts):
        count = f"{len(doubts)} of {len(verdicts)}"
        found = f"{count} mels are not typical of {config.name}. The first: {doubts[0].message}"
        cause, alike = Counter(verdict.cause for verdict in doubts).most_common(1)[0]
        if cause not in UNEXPLAINED and alike >= max(FEWEST, NEARLY_ALL * len(verdicts)):
            raise CorpusError(found)
        print(f"WARNING: {found}", file=sys.stderr, flush=True)
