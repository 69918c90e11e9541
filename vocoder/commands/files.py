"""Input and output files of a command: one to one, or several into a folder; `-` for standard input and output."""

import argparse
import io
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vocoder.audio.reading import AUDIO_SUFFIXES
from vocoder.audio.writing import AUDIO_FORMATS, Origin, WriteReport, write_audio
from vocoder.bulk.record import record
from vocoder.command_line import complain
from vocoder.files import check_distinct, complete, files_in, is_current, reason, some

STANDARD = Path("-")
IN_AND_OUT = (
    "`-` stands for standard input or output. A file named by -o is replaced. Files in an output folder are kept, so "
    "that an interrupted run can be continued, unless they are older than their source; other options are refused."
)
FILE_SUFFIXES = (".npy", *(f".{name}" for name in AUDIO_FORMATS))


def add_recording_arguments(parser: argparse.ArgumentParser, output: str) -> None:
    """Declare the recordings, `--output` with `output` as its help, and `--again`."""
    parser.description = f"{parser.description}. {IN_AND_OUT}"
    sources = "audio file of any sample rate, or folder of them; channels are averaged"
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help=sources)
    targets = f"{output}; for several recordings or a folder, the output folder"
    parser.add_argument("-o", "--output", type=Path, required=True, help=targets)
    parser.add_argument("--again", action="store_true", help="replace existing files in the folder")


def pairs(
    sources: Sequence[Path],
    output: Path,
    suffix: str,
    *,
    again: bool = True,
    made: tuple[str, dict[str, Any]] | None = None,
) -> list[tuple[Path, Path]]:
    """Pair each source with its target: `output` itself, or a file with `suffix` in that folder.

    Sources are files, `-`, or folders, which are searched for audio except in the output folder; that keeps their
    structure. Existing files in an output folder that are not older than their source are kept, unless `again`; `made`
    has the command and the options that must be the same for all of them. Raises a ValueError if the output does not
    fit the sources, a folder has no audio, two sources share a target, a source is its own target, or the folder has
    files made with other options.
    """
    if len(sources) == 1 and not sources[0].is_dir() and not output.is_dir():
        files = [(sources[0], output)]
    else:
        check_folder(output)
        if STANDARD in sources:
            raise ValueError("- stands for one file on standard input; give one output file, or - for standard output")
        files, inner = [], output.resolve()
        for source in sources:
            outputs = inner if source.is_dir() and inner != source.resolve() else None  # inside the source, perhaps
            found = [pair for pair in files_in(source, AUDIO_SUFFIXES) if outputs not in pair[0].resolve().parents]
            if not found:
                raise ValueError(f"{source} holds no audio; known suffixes: {', '.join(sorted(AUDIO_SUFFIXES))}")
            files += [(file, output / inside.with_suffix(suffix)) for file, inside in found]
            say_others(source, AUDIO_SUFFIXES, output)
    check_distinct(target for _, target in files)
    own = [str(target) for source, target in files if target.is_file() and source.is_file() and target.samefile(source)]
    if own:
        raise ValueError(f"the output would overwrite its own input {some(own)}; give another output")
    if made is None or files[0][1] == output:
        return files
    record(output, *made, [target for _, target in files], {suffix}, again)
    left = [(source, target) for source, target in files if again or not is_current(target, source)]
    if kept := len(files) - len(left):
        say(f"{output}: kept {kept} existing files; --again replaces them", output)
    return left


def say_others(source: Path, suffixes: Collection[str], output: Path) -> None:
    """Say which files of a folder are not read, because their names have none of these suffixes."""
    others = files_in(source, suffixes, others=True)
    inside = None if output.resolve() == source.resolve() else output.resolve()
    others = [pair for pair in others if inside not in pair[0].resolve().parents]
    if counts := Counter(file.suffix.lower() or "no suffix" for file, _ in others):
        kinds = some([f"{count} with {suffix}" for suffix, count in counts.most_common()], "kinds")
        say(f"{source}: other files, which are not read: {kinds}", output)


def check_folder(output: Path) -> None:
    """Raise a ValueError if several files cannot be written to `output`."""
    if output == STANDARD:
        raise ValueError("several files cannot go to standard output; give a folder")
    if output.exists() and not output.is_dir():
        raise ValueError(f"the output for several files must be a folder, but {output} is a file")
    if output.suffix.lower() in FILE_SUFFIXES and not output.is_dir():
        raise ValueError(f"the output for several files must be a folder, but {output} is the name of a file")


def each(program: str, files: Sequence[tuple[Path, Path]], output: Path, make: Callable[[Path, Path], str]) -> int:
    """Write every target of `pairs` by `make`, which returns the text to print; a failure affects only its own file.

    Error messages begin with `program`. Returns the exit status: 0, or 2 if a file failed.
    """

    def write(source: Path, target: Path) -> int:
        """Write a target beside it, and rename it once it is complete."""
        replaced = " (replaced)" if target.is_file() else ""
        if target == output and not target.parent.is_dir():
            raise ValueError(f"there is no folder {target.parent}")
        special = target == STANDARD or (target.exists() and not target.is_file())  # a pipe, for example
        with nullcontext(target) if special else complete(target.resolve()) as part:
            try:
                text = make(source, part)
            except BrokenPipeError:
                raise
            except (ValueError, OSError) as error:
                raise ValueError(reason(error).replace(str(part), str(target))) from error
        say(f"{target}: {text}{replaced}", target)
        return 0

    return max((reported(program, source, partial(write, source, target)) for source, target in files), default=0)


def reported(program: str, source: Path, work: Callable[[], int]) -> int:
    """Run the work on a file and return its status; if the file is at fault, print the error and return 2."""
    try:
        return work()
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        text = reason(error)
        named = bool(source.suffix) and str(source) in text  # a file called mel is not meant by "the mel"
        return complain(program, text if named else f"{source}: {text}")


def say(text: str, output: Path) -> None:
    """Print to standard output, or to standard error if the output goes there."""
    print(text, file=sys.stderr if output == STANDARD else sys.stdout, flush=True)


def source_of(path: Path) -> Path | BinaryIO:
    """Return a path, or for `-` the content of standard input as a file."""
    return io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD else path


def write_speech(
    target: Path, x: NDArray[np.float32], sample_rate: int, format: str | None, origin: Origin | None = None
) -> WriteReport:
    """Write audio (T,) to a file or standard output; the default format is that of the suffix, or wav."""
    if target != STANDARD:
        return write_audio(target, x, sample_rate, format=format, origin=origin)
    content = io.BytesIO()
    report = write_audio(content, x, sample_rate, format=format or "wav", origin=origin)
    sys.stdout.buffer.write(content.getvalue())
    return report


def suffix_of(format: str | None) -> str:
    """Return the file suffix for a key of `AUDIO_FORMATS`, by default that of wav."""
    return "." + (format or "wav").partition("_")[0]
