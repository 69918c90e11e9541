"""The first step of a fine-tuning: prepare a folder of recordings as a corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.corpora.condition import PrepareConfig
from training.corpora.given_mels import with_mels
from training.corpora.layouts import scan_folder
from training.corpora.manifest import Manifest
from training.corpora.prepare import Prepared, prepare
from training.finetune.budget import held_out
from training.finetune.pieces import cut_long_recordings
from vocoder.mel.config import MelConfig

LEAST_SECONDS = 20.0
"""fewest seconds of speech to train on; the least that was tried is a minute"""


def prepared_voice(
    recordings: Path,
    output: Path,
    mel_config: MelConfig,
    *,
    name: str,
    licence: str | None,
    mels: Path | None = None,
    mel_preset: str | None = None,
    jobs: int = 1,
) -> Prepared:
    """Prepare the recordings of a voice; files that are prepared already are kept.

    Long recordings are cut at pauses, unless they have mels, which must stay aligned with them.
    `mels` is a folder with the predicted mel of each recording, of the preset `mel_preset`, or of `mel_config`.

    Raises:
        ValueError: the folder holds no usable audio, or too little of it.
    """
    corpus = scan_folder(recordings, name, licence)
    if mels is not None:
        corpus = with_mels(corpus, mels, mel_preset or mel_config.name)
    else:
        corpus = cut_long_recordings(corpus, output / "pieces")
    usable = sum(not recording.unusable for recording in corpus.recordings)
    corpus = replace(corpus, test_share=min(held_out(usable) / max(usable, 1), 0.5))
    rms = PrepareConfig.rms if mels is None else None  # a mel says how loud its recording is
    config = PrepareConfig(sample_rate=mel_config.sample_rate, rms=rms)
    prepared = prepare([corpus], output, config, jobs)
    seconds = seconds_of(prepared.manifest)
    if seconds < LEAST_SECONDS:
        raise ValueError(
            f"{seconds:.0f} s of speech are left to train on, and {LEAST_SECONDS:.0f} s are needed: record more "
            f"(five minutes are good); {output / 'skipped.jsonl'} lists what was left out"
        )
    return prepared


def seconds_of(manifest: Manifest) -> float:
    """Return the seconds of speech to train on."""
    return sum(entry.duration for entry in manifest.entries if entry.split == "train")


def predicted(manifest: Manifest) -> bool:
    """Return whether recordings came with mels that an acoustic model predicted."""
    return any(entry.mel is not None for entry in manifest.entries)
