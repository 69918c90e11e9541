"""The first step of a fine-tuning: prepare a folder of recordings as a corpus, with long ones cut at quiet moments."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.corpora.condition import UnusableError, decode, write_flac
from training.corpora.corpus import Corpus, PrepareConfig, Recording
from training.corpora.given_mels import with_mels
from training.corpora.manifest import Manifest
from training.corpora.prepare import prepare
from training.finetune.budget import held_out
from vocoder.files import is_current
from vocoder.mel.config import MelConfig

LEAST_SECONDS = 20.0  # minimum seconds of speech to train on; the least that was tried is a minute


def prepared_voice(corpus: Corpus, args: Namespace, output: Path, mel_config: MelConfig) -> tuple[Manifest, str]:
    """Prepare a corpus of a voice with the command's arguments; return its manifest and a summary.

    Files prepared before are kept. Long recordings are cut at pauses, unless they have mels, which must stay aligned
    with them. Raises ValueError if it has no usable audio, or too little of it.
    """
    if args.mels is not None:
        corpus = with_mels(corpus, args.mels, args.mel or mel_config.name)
    else:
        corpus = cut_long_recordings(corpus, output / "pieces")
    usable = sum(not recording.unusable for recording in corpus.recordings)
    corpus = replace(corpus, test_share=min(held_out(usable) / max(usable, 1), 0.5))
    rms = PrepareConfig.rms if args.mels is None else None  # mels determine the level of their recordings
    config = PrepareConfig(sample_rate=mel_config.sample_rate, rms=rms)
    manifest, summary = prepare([corpus], output, config, args.jobs)
    if (seconds := seconds_of(manifest)) < LEAST_SECONDS:
        skipped = output / "skipped.jsonl"
        others = f"; {skipped} lists the skipped files" if skipped.stat().st_size else ""
        raise ValueError(
            f"only {seconds:.0f} s of speech are left to train on, besides the held-out recordings, but "
            f"{LEAST_SECONDS:.0f} s are needed: record more (five minutes are good){others}"
        )
    return manifest, summary


def seconds_of(manifest: Manifest) -> float:
    """Return the seconds of speech to train on."""
    return sum(entry.duration for entry in manifest.entries if entry.split == "train")


def predicted(manifest: Manifest) -> bool:
    """Return whether recordings came with mels that an acoustic model predicted."""
    return any(entry.mel is not None for entry in manifest.entries)


def cut_long_recordings(corpus: Corpus, folder: Path) -> Corpus:
    """Return a corpus with recordings of more than 15 s replaced by pieces; those newer than it are kept."""
    pieces: list[Recording] = []
    for recording in corpus.recordings:
        try:
            x, sample_rate = decode(recording.path)
        except UnusableError:  # reported by `prepare`
            x, sample_rate = np.zeros(0), 1
        if len(x) <= 15.0 * sample_rate:
            pieces.append(recording)
            continue
        for number, (start, stop) in enumerate(cut(x, sample_rate)):
            name = f"{recording.stem}-{number:04d}.flac"
            path = folder / recording.speaker / name
            if not is_current(path, recording.path):
                write_flac(path, x[start:stop], sample_rate, "PCM_24")
            pieces.append(replace(recording, path=path, name=name))
    return replace(corpus, recordings=tuple(pieces))


def cut(x: np.ndarray, sample_rate: int) -> list[tuple[int, int]]:
    """Return the start and stop of consecutive pieces of audio x (T,), in samples.

    Each is 4 to 12 s long, except the last, and ends in the middle of the quietest 0.2 s.
    """
    shortest, longest = (int(seconds * sample_rate) for seconds in (4.0, 12.0))
    window = int(0.2 * sample_rate)  # shorter than a pause, longer than a consonant
    energy = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64))])
    pieces, start = [], 0
    while len(x) - start > longest:
        centres = np.arange(start + shortest, start + longest - window, max(window // 20, 1))
        level = energy[centres + window] - energy[centres]
        stop = int(centres[int(level.argmin())]) + window // 2
        pieces.append((start, stop))
        start = stop
    return [*pieces, (start, len(x))]
