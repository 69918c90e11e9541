"""Write the page as a folder for any web server: its models run in the browser, and there is no other server.

    .venv/bin/python deploy/page.py waveglow -o site

ONNX Runtime for the browser comes from npm, in the version below; --runtime takes one that is there already.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vocoder
from vocoder.export.formats import WEIGHTS, export_model
from vocoder.export.traced import program_of
from vocoder.files import check_distinct
from vocoder.mel.spectrogram import mel_filterbank
from vocoder.synthesis.synthesizer import Synthesizer

PAGES = Path(__file__).resolve().parent.parent / "server" / "pages"
RUNTIME = "onnxruntime-web@1.30.0"
WASM = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder and say what it holds."""
    parser = argparse.ArgumentParser(description="Write the page with models that run in the browser.")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="shipped name or model directory")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="new, or one of this command"
    )
    parser.add_argument("--weights", choices=WEIGHTS, default="float16", help="type of the weights (%(default)s)")
    parser.add_argument("--corrections", type=int, metavar="N", help="towards the mel (default: the model's own)")
    parser.add_argument(
        "--runtime", type=Path, metavar="FOLDER", help="dist folder of onnxruntime-web (default: by npm)"
    )
    args = parser.parse_args(arguments)
    try:
        write_page(args.models, args.output, args.weights, args.corrections, args.runtime)
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        print(f"page: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
    print(f"{args.output}: {size / 1e6:.1f} MB; try it with: python -m http.server --directory {args.output}")
    return 0


def write_page(
    models: Sequence[str],
    output: Path,
    weights: Any = "float16",
    corrections: int | None = None,
    runtime: Path | None = None,
) -> None:
    """Write the folder.

    Args:
        models: shipped names or model directories.
        output: it is replaced if this command wrote it, and must be new or empty otherwise.
        weights: as of `export_model`.
        corrections: as of `export_model`.
        runtime: the folder `dist` of onnxruntime-web; fetched by npm if left out.

    Raises:
        ValueError: a model cannot run in a browser, or the output holds something else.
        OSError: the folder cannot be written, or npm is missing.
        SubprocessError: npm failed.
    """
    if output.exists() and any(output.iterdir()) and not (output / "page" / "local" / "index.json").is_file():
        raise ValueError(f"{output} holds something else than a page; give a new folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:  # so that a folder of this name is a whole page
        _write_parts(Path(folder) / "page", models, weights, corrections, runtime)
        shutil.copy(PAGES / "index.html", Path(folder) / "index.html")
        Path(folder).chmod(0o755)  # tempfile makes it readable by the owner alone, but web servers run as other users
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(folder, output)


def _write_parts(
    folder: Path, models: Sequence[str], weights: Any, corrections: int | None, runtime: Path | None
) -> None:
    """Write the parts of the page, the runtime, the models and their index."""
    shutil.copytree(PAGES, folder, ignore=shutil.ignore_patterns("index.html", "local"))
    local = folder / "local"
    local.mkdir()
    with _runtime(runtime) as dist:
        for name in WASM:
            shutil.copy(dist / name, local / name)
    voices = [vocoder.load(model, dtype=torch.float32) for model in models]
    check_distinct(Path(f"{Path(voice.name).name}.onnx") for voice in voices)
    described = [_write_model(voice, local, weights, corrections) for voice in voices]
    index = {"version": vocoder.__version__, "alone": True, "models": described}
    (local / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _write_model(voice: Synthesizer, local: Path, weights: Any, corrections: int | None) -> dict[str, Any]:
    """Write a program and the filterbank of its mels; return what the page must know of them."""
    name = Path(voice.name).name
    export_model(voice, "onnx", local / f"{name}.onnx", corrections=corrections, weights=weights)
    np.save(local / f"{name}-filterbank.npy", mel_filterbank(voice.mel_config).float().numpy())
    program = program_of(voice, corrections)
    return {
        **{key: voice.info()[key] for key in ("family", "parameters", "sigma", "mel")},
        "name": name,
        "state": "ready",
        "corrections": program.correction.count,
        "file": f"{name}.onnx",
        "filterbank": f"{name}-filterbank.npy",
        "z_channels": program.model.noise_channels,
        "z_steps_per_frame": program.model.steps_per_frame,
        "least_frames": program.least_frames,
    }


@contextmanager
def _runtime(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", RUNTIME, "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            package.extractall(folder, filter="data")
        yield Path(folder) / "package" / "dist"


if __name__ == "__main__":
    sys.exit(main())
