"""Input and output files of a command: one to one, several to a folder, `-` for standard input and output."""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vocoder.audio.reading import AUDIO_SUFFIXES
from vocoder.audio.writing import AUDIO_FORMATS, Origin, WriteReport, write_audio
from vocoder.files import check_distinct, files_in, some

STANDARD = Path("-")
IN_AND_OUT = (
    "`-` stands for standard input and output. A file named by -o is replaced. In a folder existing files are kept, so "
    "that a stopped run can be continued."
)
FILE_SUFFIXES = (".npy", *(f".{name}" for name in AUDIO_FORMATS))


def add_recording_arguments(parser: argparse.ArgumentParser, output: str) -> None:
    """Declare recordings, `--output`, described by `output`, and `--again`."""
    parser.description = f"{parser.description} {IN_AND_OUT}"
    sources = "audio file of any sample rate, whose channels are averaged, or folder of them"
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help=sources)
    targets = f"{output}; a folder for several recordings or a folder"
    parser.add_argument("-o", "--output", type=Path, required=True, help=targets)
    parser.add_argument("--again", action="store_true", help="replace existing files in the folder")


def pairs(sources: Sequence[Path], output: Path, suffix: str, *, again: bool) -> list[tuple[Path, Path]]:
    """Return the files to make: each source with its target, which is `output` or a file with `suffix` in that folder.

    Sources are files, `-`, or folders, which are searched for audio; the output repeats their structure. A file named
    by `output` is replaced. Files in a folder are kept without `again`, and a line says how many.

    Raises a ValueError if the output does not fit the sources, a folder has no audio, two sources have one target, or a
    source is its own target.
    """
    if len(sources) == 1 and not sources[0].is_dir() and not output.is_dir():
        made = [(sources[0], output)]
    else:
        check_folder(output)
        if STANDARD in sources:
            raise ValueError("- stands for one file on standard input: name an output file, or pass - as well")
        made = []
        for source in sources:
            if not (found := files_in(source, AUDIO_SUFFIXES)):
                raise ValueError(f"{source} holds no audio; known suffixes: {', '.join(sorted(AUDIO_SUFFIXES))}")
            made += [(file, output / inside.with_suffix(suffix)) for file, inside in found]
    check_distinct(target for _, target in made)
    own = [str(target) for source, target in made if target.is_file() and source.is_file() and target.samefile(source)]
    if own:
        raise ValueError(f"{some(own)} would be replaced by what is made of it; give another output")
    if kept := {target for _, target in made if target.is_file() and target != output and not again}:
        say(f"{output}: {len(kept)} files exist already and are kept; --again replaces them", output)
    return [(source, target) for source, target in made if target not in kept]


def check_folder(output: Path) -> None:
    """Raise a ValueError if several files cannot be written to `output`."""
    if output == STANDARD:
        raise ValueError("several files cannot go to standard output; give a folder")
    if output.exists() and not output.is_dir():
        raise ValueError(f"the output of several files is a folder, but {output} is a file")
    if output.suffix.lower() in FILE_SUFFIXES and not output.is_dir():
        raise ValueError(f"the output of several files is a folder, but {output} is the name of a file")


def each(program: str, files: Sequence[tuple[Path, Path]], output: Path, make: Callable[[Path, Path], str]) -> int:
    """Make every target of `pairs` and print one line for each; a failure affects only its own file.

    `make` writes a target from a source and returns what to say about it; error messages begin with `program`. The
    status is 0, or 2 if one failed.
    """

    def made(source: Path, target: Path) -> int:
        if target != output:
            target.parent.mkdir(parents=True, exist_ok=True)
        replaced = " (replaced)" if target.is_file() else ""
        say(f"{target}: {make(source, target)}{replaced}", target)
        return 0

    return max((reported(program, source, partial(made, source, target)) for source, target in files), default=0)


def reported(program: str, source: Path, work: Callable[[], int]) -> int:
    """Return the status of the work on a file: 2, and a line on the standard error, if the file is at fault."""
    try:
        return work()
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        print(f"{program}: {source}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def say(text: str, output: Path) -> None:
    """Print to standard output, or to standard error if the output goes there."""
    print(text, file=sys.stderr if output == STANDARD else sys.stdout, flush=True)


def source_of(path: Path) -> Path | BinaryIO:
    """Return a path, or the content of standard input, to be read."""
    return io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD else path


def write_speech(
    target: Path, x: NDArray[np.float32], sample_rate: int, format: str | None, origin: Origin | None = None
) -> WriteReport:
    """Write audio (T,) to a file, by default in the format of its suffix, or to standard output, by default as wav."""
    if target != STANDARD:
        return write_audio(target, x, sample_rate, format=format, origin=origin)
    content = io.BytesIO()
    report = write_audio(content, x, sample_rate, format=format or "wav", origin=origin)
    sys.stdout.buffer.write(content.getvalue())
    return report


def suffix_of(format: str | None) -> str:
    """Return the suffix for a key of `AUDIO_FORMATS`, by default wav."""
    return "." + (format or "wav").partition("_")[0]
