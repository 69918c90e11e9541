"""Measures the loss in scores with mels of other conventions, against the model's own mels of the same recordings.

    python -m benchmarks.adapters --manifest runs/speech/manifest.jsonl [--model NAME|DIR] [--limit N]

The recordings are of voices that no adapter heard (asterisk-it, kokoro-unseen, klettres), at the level that they were
prepared at. Each is made into the mel of every preset with an adapter of its own, synthesized and compared with the
recording: by PESQ, which ends at 8 kHz, by DistillMOS, and by the level of the band from 8 to 11 kHz, where the
recordings have one. Of those that bring audio to a peak before there is another row of just that: decibels are cut at
the top there. `--record` writes what was measured into the adapters' directories, which the server tells.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from training.corpora.manifest import Manifest, ManifestError, read_manifest
from training.evaluate.metric import Audio, MetricUndefinedError
from training.evaluate.opinions import naturalness, pesq_wide_band
from training.evaluate.options import Comparison
from training.evaluate.recordings import Recording, recordings
from training.evaluate.spectra import band_is_kept, band_level
from training.publishing import model_card
from vocoder.adapt.adapter import DIRECTORY
from vocoder.adapt.path import path_between, takes
from vocoder.checkpoint import load_model, save_model
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.mel.config import PRESETS, MelConfig, preset
from vocoder.mel.spectrogram import mel_of
from vocoder.synthesis.synthesizer import Synthesizer
from vocoder.timing import machine, markdown_table

GROUPS = {"asterisk-it": 2.5, "kokoro-unseen": 2.5, "klettres": 1.2}
"""corpora with the least seconds of their recordings, because PESQ says little about shorter ones"""
PEAK_NORMALISED = {"tacotron2-tf": 0.999}
"""presets whose own programs first scale audio to a peak"""

Scores = dict[str, dict[str, list[float]]]
"""losses by measure and group"""


def main() -> int:
    """Print the machine and the table."""
    args = _parser().parse_args()
    voice = load(args.model, guard="off")
    print(machine(), flush=True)
    found = chosen(read_manifest(args.manifest), args.limit)
    own = scores(voice, found, voice.mel_config, None)
    rows, lost = [_row(voice.mel_config.name, "own", own, own)], {}
    for name in args.presets or _with_own_path(voice):
        path = path_between(preset(name), voice.mel_config)
        for peak in dict.fromkeys((None, PEAK_NORMALISED.get(name))):
            theirs = scores(voice, found, path.source, name, peak)
            rows.append(_row(f"{name} at peak {peak}" if peak else name, path.how, theirs, own))
            print(rows[-1], flush=True)
            if peak is None and path.adapter is not None and path.adapter.name.startswith(name):
                lost[path.adapter.name] = losses(theirs, own)
    header = ["mels of", "way", *(f"{measure} {group} ({len(own[measure][group])})" for measure, group in _cells(own))]
    print(f"\n{markdown_table(header, rows)}")
    if args.record:
        for name, measured in lost.items():
            record(DIRECTORY / name, measured, args.model)
    return 0


def chosen(manifest: Manifest, limit: int) -> list[Recording]:
    """Return at most `limit` recordings of each corpus; raises ManifestError if there are none."""
    found: list[Recording] = []
    for corpus, seconds in GROUPS.items():
        entries = tuple(entry for entry in manifest.entries if entry.corpus == corpus)
        if entries:
            selection = Comparison(min_seconds=seconds, limit=limit, by="corpus")
            found += [replace(one, voice=corpus) for one in recordings(Manifest(manifest.root, entries), selection)]
    if not found:
        raise ManifestError(f"{manifest.root} has no recordings of {', '.join(GROUPS)}")
    return found


def scores(
    voice: Synthesizer, found: Sequence[Recording], source: MelConfig, name: str | None, peak: float | None = None
) -> Scores:
    """Return all scores of recordings, scaled to a peak or not, synthesized from mels of a mel config."""
    scored: Scores = {measure: {} for measure in MEASURES}
    for recording in found:
        reference = recording.at(voice.sample_rate)
        x = recording.at(source.sample_rate)
        x = x if peak is None else x * np.float32(peak / np.abs(x).max())
        made = voice.synthesize(mel_of(x, source), seed=0, preset=name)[: len(reference)]
        for measure, function in MEASURES.items():
            value = _defined(function, reference[: len(made)], made, voice.sample_rate)
            scored[measure].setdefault(recording.voice, []).append(value)
    return scored


def band_error(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return by how many dB the band from 8 to 11 kHz is louder than the recording's.

    Raises MetricUndefinedError if the recording has nothing there.
    """
    band_is_kept(reference, generated, sample_rate)
    return band_level(reference, generated, sample_rate) - band_level(reference, reference, sample_rate)


MEASURES: dict[str, Callable[[Audio, Audio, int], float]] = {
    "pesq": pesq_wide_band,
    "distillmos": naturalness,
    "band": band_error,
}


def _defined(measure: Callable[[Audio, Audio, int], float], reference: Audio, x: Audio, sample_rate: int) -> float:
    try:
        return measure(reference, x, sample_rate)
    except MetricUndefinedError:
        return float("nan")


def losses(theirs: Scores, own: Scores) -> dict[str, dict[str, float]]:
    """Return the loss in each score by group, in the form that adapters store."""
    return {
        f"{measure}_lost": {
            group: round(mean(values) - mean(theirs[measure][group]), 3) for group, values in own[measure].items()
        }
        for measure in ("pesq", "distillmos")
    }


def mean(values: Sequence[float]) -> float:
    """Return the mean of the defined scores, or NaN if there are none."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else float("nan")


def record(directory: Path, lost: dict[str, dict[str, float]], model: str) -> None:
    """Write the measured losses into an adapter's directory."""
    checkpoint = load_model(directory)
    mel_config, origin = checkpoint.mel_config, checkpoint.provenance
    measured = ", ".join(f"{value:.2f} on {group}" for group, value in lost["pesq_lost"].items())
    notes = f"PESQ lost against the model's own mels, with `{model}`: {measured}. `python -m benchmarks.adapters`."
    card = model_card(directory.name, checkpoint.model, mel_config, origin, {}, notes)
    save_model(directory, checkpoint.model, mel_config, origin, {**lost, "model": model}, torch.float16, card)


def _with_own_path(voice: Synthesizer) -> list[str]:
    """Return the other presets that a model accepts, only one of those that share an adapter."""
    paths = {
        name: path_between(config, voice.mel_config)
        for name, config in PRESETS.items()
        if takes(config, voice.mel_config)
    }
    return [name for name, path in paths.items() if not path.own and (path.adapted or name).startswith(name)]


def _cells(own: Scores) -> list[tuple[str, str]]:
    """Return the measures and groups with scores, in the order of the table."""
    groups = [(measure, group) for measure, by_group in own.items() for group in by_group]
    return [(measure, group) for measure, group in groups if not math.isnan(mean(own[measure][group]))]


def _row(name: str, how: str, theirs: Scores, own: Scores) -> list[str]:
    cells = [(mean(theirs[measure][group]), mean(own[measure][group])) for measure, group in _cells(own)]
    return [f"`{name}`", how, *(f"{value:.2f} ({before - value:.2f} lost)" for value, before in cells)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="prepared corpus (%(default)s)")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, default=16, help="recordings per corpus (default: %(default)s)")
    parser.add_argument(
        "--presets", nargs="+", choices=sorted(PRESETS), help="presets (default: all, but only one for each adapter)"
    )
    parser.add_argument("--record", action="store_true", help="write the scores into the shipped adapters")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
