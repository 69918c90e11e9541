"""`vocoder synthesize`: mel-spectrograms to audio files."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocoder.audio import WriteReport, write_audio
from vocoder.audio_stream import AudioStream
from vocoder.commands.sampling import add_model_arguments, add_sampling_arguments, model
from vocoder.mel_config import PRESETS, preset
from vocoder.mel_convert import convert
from vocoder.synthesizer import Synthesizer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = "Turn mel-spectrograms (npy files, float, n_mels x frames) into audio files."
    parser.add_argument("mels", nargs="+", type=Path, metavar="MEL", help="npy file, or a folder of npy files")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="audio file for one mel, its format by its suffix; for several or a folder, a folder of wav files",
    )
    add_model_arguments(parser)
    add_sampling_arguments(parser)
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), help="contract of the mels; they are converted to the model's where exact"
    )
    parser.add_argument("--stream", action="store_true", help="compute and write the audio in chunks, without seams")


def run(args: argparse.Namespace) -> int:
    """Speak every mel; those that cannot be spoken are reported, one line each, and left out.

    Returns:
        0, or 2 if a mel was left out.

    Raises:
        ValueError, OSError: the arguments contradict each other, or there is no such model.
    """
    if args.stream and args.denoise:
        raise ValueError("--denoise needs the whole utterance at once; leave out --stream")
    outputs = _outputs(args.mels, args.output)
    synthesizer = model(args)
    status = 0
    for source, target in outputs:
        try:
            print(_speak(synthesizer, source, target, args), flush=True)
        except (ValueError, OSError) as error:
            print(f"vocoder synthesize: {source}: {' '.join(str(error).split())}", file=sys.stderr)
            status = 2
    return status


def _speak(synthesizer: Synthesizer, source: Path, target: Path, args: argparse.Namespace) -> str:
    mel = _read(source)
    if args.preset is not None:
        mel = convert(mel, preset(args.preset), synthesizer.mel_config)
    start = time.perf_counter()
    if args.stream:
        first, report = _stream(synthesizer, mel, target, args)
        how = f", the first chunk after {first:.2f} s"
    else:
        x = synthesizer.synthesize(mel, sigma=args.sigma, seed=args.seed, denoise=args.denoise)
        report, how = write_audio(target, x, synthesizer.sample_rate), ""
    seconds = mel.shape[1] * synthesizer.hop_length / synthesizer.sample_rate
    return f"{target}: {seconds:.2f} s in {time.perf_counter() - start:.2f} s{how}, {report}"


def _stream(
    synthesizer: Synthesizer, mel: NDArray[np.float32], target: Path, args: argparse.Namespace
) -> tuple[float, WriteReport]:
    """Write the chunks as they come; return the seconds until the first, and the report of the writing."""
    start = time.perf_counter()
    chunks = synthesizer.stream(mel, sigma=args.sigma, seed=args.seed)
    x = next(chunks)  # what is wrong with the mel is found before there is a file
    first = time.perf_counter() - start
    with AudioStream(target, synthesizer.sample_rate) as audio:
        audio.write(x)
        for x in chunks:
            audio.write(x)
    return first, audio.report


def _read(path: Path) -> NDArray[np.float32]:
    """Return the mel (n_mels, frames) of an npy file; nothing in it is ever run."""
    try:
        mel = np.lib.format.open_memmap(path, mode="r")  # a header that lies about the size allocates nothing
    except (ValueError, OverflowError) as error:
        raise ValueError(f"this is no npy file of numbers ({error})") from error
    if mel.dtype.kind != "f":
        raise ValueError(f"a mel holds floats, not {mel.dtype}")
    if mel.ndim != 2:
        raise ValueError(f"a mel is (n_mels, frames), not {mel.shape}; one file holds one mel")
    return np.array(mel, dtype=np.float32)


def _outputs(mels: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """Return each mel with the file that its audio goes to."""
    if len(mels) == 1 and not mels[0].is_dir() and not output.is_dir():
        return [(mels[0], output)]
    sources = [file for mel in mels for file in (sorted(mel.glob("*.npy")) if mel.is_dir() else [mel])]
    if not sources:
        raise ValueError(f"there are no npy files in {', '.join(map(str, mels))}")
    if output.exists() and not output.is_dir():
        raise ValueError(f"the audio of several mels goes to a folder, and {output} is a file")
    targets = [output / f"{source.stem}.wav" for source in sources]
    twice = sorted({target.name for target in targets if targets.count(target) > 1})
    if twice:
        raise ValueError(f"several mels would be written to {', '.join(twice)}; give them names of their own")
    output.mkdir(parents=True, exist_ok=True)
    return list(zip(sources, targets, strict=True))
