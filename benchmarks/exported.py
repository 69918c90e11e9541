"""Compares a model exported for phones (sherpa-onnx, ONNX Runtime, three types of weights) with ours in torch.

Size of the file, seconds of audio for a second of one core, and PESQ on recordings of a manifest (extra `evaluation`),
each synthesized with the noise that the file draws itself.

    python -m benchmarks.exported waveglow --manifest runs/family/manifest.jsonl [--limit 6] [--corrections 6]
"""

import argparse
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.speech import speech_mel
from training.corpora.manifest import read_manifest
from training.evaluate.opinions import pesq_wide_band
from vocoder.audio.reading import read_audio
from vocoder.audio.resampling import resample
from vocoder.export.formats import SHERPA, WEIGHTS, Weights, export_model, store_weights
from vocoder.export.traced import program_of
from vocoder.loading import load
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of
from vocoder.timing import BUSY, alternate, machine, markdown_table

LENGTHS = (1.0, 10.0)
SECONDS = (2.5, 9.0)
Synthesize = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def main() -> int:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exported", description=__doc__)
    parser.add_argument("model", metavar="NAME|DIR")
    parser.add_argument("--manifest", type=Path, help="recordings for PESQ; by default only sizes and speeds")
    parser.add_argument("--limit", type=int, default=6, help="held-out recordings (%(default)s)")
    parser.add_argument("--corrections", type=int, metavar="N", help="number of corrections (default: the model's own)")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    voice = load(args.model, dtype=torch.float32, guard="off")
    with tempfile.TemporaryDirectory() as folder:
        files = exported(voice, Path(folder), args.corrections)
        makers: dict[str, Synthesize] = {f"ONNX, {weights}": runner(file) for weights, file in files.items()}
        makers["torch, float32"] = partial(voice.synthesize, seed=0, corrections=args.corrections)
        sizes = {f"ONNX, {weights}": file.stat().st_size / 1e6 for weights, file in files.items()}
        print(machine(), "\n")
        print(table(makers, sizes, voice.mel_config, args))
    return 0


def exported(voice: Any, folder: Path, corrections: int | None) -> dict[Weights, Path]:
    """Return the exported files, traced once."""
    whole = folder / "float32.onnx"
    export_model(voice, SHERPA, whole, corrections=corrections)
    buffers = [f"program.{name}" for name, _ in program_of(voice, corrections, products=True).named_buffers()]
    files: dict[Weights, Path] = {}
    for weights in WEIGHTS:
        files[weights] = folder / f"{weights}.onnx"
        if weights != "float32":
            shutil.copy(whole, files[weights])
            store_weights(files[weights], weights, buffers)
    return files


def runner(file: Path) -> Synthesize:
    """Return a function that synthesizes from a mel with a file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def synthesize(mel: NDArray[np.float32]) -> NDArray[np.float32]:
        x: NDArray[np.float32] = session.run(["audio"], {"mel": mel[None]})[0][0]
        return x

    return synthesize


def table(makers: dict[str, Synthesize], sizes: dict[str, float], config: MelConfig, args: argparse.Namespace) -> str:
    """Return the table of sizes, speeds and PESQ."""
    cells: dict[str, list[str]] = {name: [f"{sizes[name]:.1f}" if name in sizes else ""] for name in makers}
    for seconds in LENGTHS:
        mel = speech_mel(config, seconds, seed=0)
        length = mel.shape[1] * config.hop_length / config.sample_rate
        tasks = {name: partial(synthesize, mel) for name, synthesize in makers.items()}
        for name, median in alternate(tasks, args.repetitions, clock=BUSY).items():
            cells[name].append(f"{length / median:.1f}")
    heads = [f"{args.model}, one core", "MB", *(f"{seconds:g} s, x real time" for seconds in LENGTHS)]
    if args.manifest is not None:
        heads.append("PESQ")
        clips = list(recordings(args.manifest, args.limit, config.sample_rate))
        for name, synthesize in makers.items():
            cells[name].append(f"{statistics.mean(closeness(x, synthesize, config) for x in clips):.3f}")
    return markdown_table(heads, [[name, *values] for name, values in cells.items()])


def recordings(manifest: Path, limit: int, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield held-out recordings of all voices in turn."""
    chosen = read_manifest(manifest)
    turns: Counter[str] = Counter()
    ranked = []
    for entry in chosen.select("test"):
        if SECONDS[0] <= entry.duration <= SECONDS[1]:
            turns[entry.speaker] += 1
            ranked.append((turns[entry.speaker], entry.speaker, entry.path))
    for *_, path in sorted(ranked)[:limit]:
        x, rate = read_audio(chosen.root / path)
        yield resample(x, rate, sample_rate)


def closeness(x: NDArray[np.float32], synthesize: Synthesize, config: MelConfig) -> float:
    """Return the wide-band PESQ of audio synthesized from a recording's mel."""
    made = synthesize(mel_of(x, config))[: len(x)]
    return pesq_wide_band(x[: len(made)], made, config.sample_rate)


if __name__ == "__main__":
    raise SystemExit(main())
