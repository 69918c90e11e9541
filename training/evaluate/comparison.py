"""Compares models, Griffin-Lim and recordings on the same held-out utterances, in a table and a folder of reports."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import librosa
import torch

from training.corpora.manifest import read_manifest
from training.corpora.mapping import workers
from training.evaluate.candidates import Candidate, griffin_lim, of_vocoder, on_both
from training.evaluate.evaluation import Row, evaluate
from training.evaluate.listening import listening_page
from training.evaluate.metric import Audio, Metric, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.options import Comparison
from training.evaluate.recordings import Recording, left_out, recordings
from training.evaluate.report import Report, table, write_report
from vocoder.audio.resampling import resample
from vocoder.synthesis.synthesizer import Synthesizer


def compare(models: Mapping[str, Synthesizer], manifest_file: Path, output: Path, options: Comparison) -> Report:
    """Evaluate models on a manifest's test split, print the table, and write and return the report.

    Reports use the keys of `models` as names and go to the folder `output`, which is created if missing. Raises
    ValueError if the manifest is wrong or has no suitable recordings.
    """
    manifest = read_manifest(manifest_file)
    chosen = recordings(manifest, options)
    without = [recording.entry.path for recording in chosen if recording.entry.mel is None]
    if options.mels == "both" and without:
        raise ValueError(
            f"{len(without)} of {len(chosen)} recordings of {manifest_file} have no predicted mel, such as "
            f"{without[0]}: add mels to the corpus with `vocoder-train prepare --mels`"
        )
    trained = [of_vocoder(vocoder, name, options) for name, vocoder in models.items()]
    mel_config = trained[0].mel_config
    truth = Candidate("ground truth", mel_config)
    baselines = [Candidate("Griffin-Lim", mel_config, partial(griffin_lim, mel_config))] if options.griffin_lim else []
    if options.mels == "both":
        baselines, trained = ([row for one in rows for row in on_both(one)] for rows in (baselines, trained))
    output.mkdir(parents=True, exist_ok=True)  # fails before minutes of scoring
    metrics, missing = split_by_package(METRICS)
    rows, heard = _evaluated([truth, *baselines, *trained], chosen, metrics, options)
    settings, sums = _settings(chosen, options), {model.name: model.weights_sha256 for model in trained}
    report = Report(settings, rows, METRICS, missing, sums, left_out(manifest, options))
    written = [*write_report(report, output), output / "listening.html"]
    utterances = _utterances([*trained, *baselines], chosen, heard)
    written[-1].write_text(listening_page(report, utterances, mel_config.sample_rate), encoding="utf-8")
    print("\n".join([table(report.summaries(), report.columns), *report.notes(), *map(str, written)]))
    return report


def _evaluated(
    candidates: Sequence[Candidate], chosen: Sequence[Recording], metrics: Sequence[Metric], options: Comparison
) -> tuple[list[Row], dict[str, dict[str, Audio]]]:
    """Return the rows of all candidates and their audio by name and path; print how long it will take."""
    rows, heard = list[Row](), dict[str, dict[str, Audio]]()
    seconds, left = sum(recording.seconds for recording in chosen), len(candidates) - 1
    names = ", ".join(candidate.name for candidate in candidates)
    count = f"{len(chosen)} recording{'s' * (len(chosen) > 1)}"
    print(f"scoring {count} ({seconds:.0f} s) for {names}; the first shows the pace", flush=True)
    with workers(min(options.jobs, len(chosen))) as over:  # shared, because workers cache the recordings' pitch
        for candidate in candidates:
            started = time.perf_counter()
            found, heard[candidate.name] = evaluate(candidate, chosen, metrics, over, options.listen)
            rows += found
            if candidate is candidates[0]:
                took = time.perf_counter() - started
                pace = f"{took:.0f} s for the first, about {took * left / 60:.1f} minutes for the other {left}"
                print(pace, flush=True)
    return rows, heard


def _utterances(
    candidates: Sequence[Candidate], chosen: Sequence[Recording], heard: Mapping[str, Mapping[str, Audio]]
) -> dict[str, dict[str, Audio]]:
    """Return the clips for listening, at the first model's sample rate and each as long as its recording."""
    rate, utterances = candidates[0].mel_config.sample_rate, dict[str, dict[str, Audio]]()
    for recording in chosen:
        path = recording.entry.path
        if (reference := heard["ground truth"].get(path)) is not None:
            clips = utterances[f"{recording.voice}, {path}"] = {"ground truth": reference}
            for candidate in candidates:
                x = resample(heard[candidate.name][path], candidate.mel_config.sample_rate, rate)
                clips[candidate.name] = librosa.util.fix_length(x, size=len(reference))
    return utterances


def _settings(chosen: Sequence[Recording], options: Comparison) -> dict[str, Any]:
    """Return the settings that determine the scores, and the number of threads, which determines the speed."""
    given = sum(recording.entry.mel is not None for recording in chosen)
    others = ("mels", "griffin_lim", "listen", "jobs")  # do not affect the scores of a row
    return {
        "split": "test",
        **{name: value for name, value in asdict(options).items() if name not in others},
        "given_mels": f"{given} of {len(chosen)}" if given and options.mels != "both" else None,
        "mels": "the recordings' own, and predicted by an acoustic model" if options.mels == "both" else None,
        "threads": torch.get_num_threads(),
    }
