"""What mels of other conventions cost: PESQ lost against the model's own mels of the same recordings.

    python -m benchmarks.adapters --manifest runs/speech/manifest.jsonl [--model NAME|DIR] [--limit N]

The recordings are of voices that no adapter heard (asterisk-it, kokoro-unseen, klettres), at the level that
they were prepared at. Each is made into the mel of every preset, spoken, and compared with the recording. Of those
that bring audio to a peak before there is another row of just that: decibels are cut at the top there. `--record`
writes what was measured into the adapters' directories, where the server and `Synthesizer.accepts` read it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.manifest import Manifest, ManifestError, read_manifest
from training.evaluate.metric import MetricUndefinedError
from training.evaluate.opinions import pesq_wide_band
from training.evaluate.recordings import Recording, Selection, recordings
from training.model_card import model_card
from vocoder.adapt.adapter import DIRECTORY, shipped_adapters
from vocoder.adapt.path import MelPath, path_between
from vocoder.checkpoint import load_model, save_model
from vocoder.config import to_dict
from vocoder.loading import load
from vocoder.mel.config import PRESETS, MelConfig, preset
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.synthesis.synthesizer import Synthesizer
from vocoder.timing import machine, markdown_table

GROUPS = {"asterisk-it": 2.5, "kokoro-unseen": 2.5, "klettres": 1.2}
"""corpora, and the seconds that their recordings must have: PESQ says little of shorter ones"""
PEAK_NORMALISED = {"tacotron2-tf": 0.999}
"""presets whose own programs bring audio to a peak before"""

Audio = NDArray[np.float32]


def main() -> int:
    """Print the machine and the table."""
    args = _parser().parse_args()
    voice = load(args.model, guard="off")
    print(machine(), flush=True)
    found = chosen(read_manifest(args.manifest), args.limit)
    names = [name for name in args.presets or PRESETS if _path(voice, name) is not None]
    own = scores(voice, found, voice.mel_config, None)
    rows, lost = [_row(voice.mel_config.name, "own", own, own)], {}
    for name in names:
        path = _path(voice, name)
        if path is not None and not path.own:
            for peak in dict.fromkeys((None, PEAK_NORMALISED.get(name))):
                theirs = scores(voice, found, path.source, name, peak)
                rows.append(_row(f"{name} at peak {peak}" if peak else name, path.how, theirs, own))
                print(rows[-1], flush=True)
                if peak is None:
                    lost[name] = {group: round(mean(own[group]) - mean(theirs[group]), 3) for group in own}
    header = ["mels of", "way", *(f"{group} ({len(values)})" for group, values in own.items()), "PESQ lost, mean"]
    print(f"\n{markdown_table(header, rows)}")
    if args.record:
        for name in set(lost) & set(shipped_adapters()):
            record(DIRECTORY / name, lost[name], args.model)
    return 0


def chosen(manifest: Manifest, limit: int) -> list[Recording]:
    """Return at most so many recordings of each corpus.

    Raises:
        ManifestError: there are none.
    """
    found: list[Recording] = []
    for corpus, seconds in GROUPS.items():
        entries = tuple(entry for entry in manifest.entries if entry.corpus == corpus)
        if entries:
            selection = Selection(min_seconds=seconds, limit=limit, by="corpus")
            found += [replace(one, voice=corpus) for one in recordings(Manifest(manifest.root, entries), selection)]
    if not found:
        raise ManifestError(f"{manifest.root} holds no recording of {', '.join(GROUPS)}")
    return found


def scores(
    voice: Synthesizer, found: Sequence[Recording], source: MelConfig, name: str | None, peak: float | None = None
) -> dict[str, list[float]]:
    """Return the PESQ of every recording, brought to a peak or not, spoken from the mels of a contract, by group."""
    extract = MelSpectrogram(source)
    scored: dict[str, list[float]] = {}
    for recording in found:
        reference = recording.at(voice.sample_rate)
        x = recording.at(source.sample_rate)
        x = x if peak is None else x * np.float32(peak / np.abs(x).max())
        with torch.inference_mode():
            mel = extract(torch.from_numpy(x)[None])[0].numpy()
        spoken = voice.synthesize(mel, seed=0, preset=name)[: len(reference)]
        try:
            value = pesq_wide_band(reference[: len(spoken)], spoken, voice.sample_rate)
        except MetricUndefinedError:
            value = float("nan")
        scored.setdefault(recording.voice, []).append(value)
    return scored


def mean(values: Sequence[float]) -> float:
    """Return the mean of the scores that are defined."""
    return float(np.nanmean(values))


def record(directory: Path, lost: dict[str, float], model: str) -> None:
    """Write what was measured into an adapter's directory."""
    checkpoint = load_model(directory)
    quality = {"pesq_lost": lost, "model": model}
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    mel, origin = to_dict(checkpoint.mel_config), checkpoint.provenance
    measured = ", ".join(f"{value:.2f} on {group}" for group, value in lost.items())
    notes = f"PESQ lost against the model's own mels, with `{model}`: {measured}. `python -m benchmarks.adapters`."
    card = model_card(directory.name, "adapter", parameters, mel, origin, {}, notes)
    save_model(directory, checkpoint.model, checkpoint.mel_config, origin, quality, torch.float16, card)


def _path(voice: Synthesizer, name: str) -> MelPath | None:
    try:
        return path_between(preset(name), voice.mel_config)
    except MelMismatchError:
        return None


def _row(name: str, how: str, theirs: dict[str, list[float]], own: dict[str, list[float]]) -> list[str]:
    cells = [f"{mean(theirs[group]):.2f} ({mean(own[group]) - mean(theirs[group]):.2f} lost)" for group in own]
    lost = float(np.mean([mean(own[group]) - mean(theirs[group]) for group in own]))
    return [f"`{name}`", how, *cells, f"{lost:.2f}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="of a prepared corpus")
    parser.add_argument("--model", default="waveglow", metavar="NAME|DIR", help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, default=16, help="recordings of each corpus (default: %(default)s)")
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), help="(default: all that there is a way for)")
    parser.add_argument("--record", action="store_true", help="write the scores into the adapters that ship")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
