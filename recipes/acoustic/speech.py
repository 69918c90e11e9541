"""`python -m recipes acoustic-speech`: synthesize speech with the durations of its phonemes, into a folder.

The folder holds audio at 22,050 Hz, and `speech.jsonl` with a line for each file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.corpora import debian, fortunes
from recipes.corpora.kokoro import PLANS, Utterance, planned, write_audio
from recipes.corpora.kokoro_voice import SAMPLE_RATE, KokoroVoice, phonemes, start_voice
from training.corpora.condition import PrepareConfig, condition, prepared_bandwidth
from training.corpora.corpus import CorpusError
from vocoder.audio.resampling import resample
from vocoder.config import ConfigError, from_dict, to_dict

ACOUSTIC = ("evaluation", "mixtures")
"""plans of such speech"""

RATE = 22050
"""Hz of the audio that is written"""
INDEX = "speech.jsonl"
_REPORT_EVERY = 20


@dataclass(frozen=True)
class Line:
    """One utterance of the folder. Raises ConfigError if tokens and durations do not belong together."""

    path: str
    """The audio, relative to the folder."""
    speaker: str
    text: str
    language: str
    speed: float
    samples: int
    """Of the audio, at 22,050 Hz."""
    bandwidth: float
    """Hertz above which there is practically nothing."""
    tokens: tuple[int, ...]
    """Kokoro's numbers of the phonemes, 0 at both ends."""
    durations: tuple[int, ...]
    """Of the tokens, in units of 600 samples at 24 kHz, which is 551.25 here."""
    pitch: tuple[float, ...]
    """Hz, two values for each unit; below about 10 where it is unvoiced."""
    style: tuple[float, ...]
    """(256,) what Kokoro was told of the voice."""

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.durations) or min(self.durations, default=0) < 1:
            raise ConfigError(f"{self.path}: each of {len(self.tokens)} tokens needs a duration of at least 1")
        if len(self.pitch) != 2 * sum(self.durations):
            raise ConfigError(f"{self.path}: pitch needs {2 * sum(self.durations)} values, not {len(self.pitch)}")

    @property
    def seconds(self) -> float:
        """The length of the audio."""
        return self.samples / RATE


def synthesise(utterances: tuple[Utterance, ...], folder: Path) -> Iterator[Line]:
    """Speak what the folder lacks, adding a line for each file, and yield all lines in their order.

    Raises CorpusError if the extra `kokoro`, its model or espeak-ng is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {line.path: line for line in read_speech(folder)} if (folder / INDEX).is_file() else {}
    voice = start_voice()
    for utterance in utterances:
        path = f"audio/{utterance.speaker}/{utterance.name}"
        line = known.get(path)
        if line is None:
            line = _spoken(utterance, path, folder, voice)
            with (folder / INDEX).open("a", encoding="utf-8") as file:
                file.write(json.dumps(to_dict(line), ensure_ascii=False) + "\n")
        yield line


def read_speech(folder: Path) -> tuple[Line, ...]:
    """Return the lines of a folder. Raises CorpusError if there is no index, or a line of it is wrong."""
    path = folder / INDEX
    if not path.is_file():
        raise CorpusError(f"{folder} holds no {INDEX}; `python -m recipes acoustic-speech` writes one")
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return tuple(from_dict(Line, json.loads(line)) for line in lines)
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def _spoken(utterance: Utterance, path: str, folder: Path, voice: KokoroVoice) -> Line:
    """Write an utterance at 22,050 Hz and the level of all corpora, and return its line."""
    spoken = voice.speak(phonemes(utterance.text, utterance.language), utterance.weights, utterance.speed)
    x = condition(resample(spoken.x, SAMPLE_RATE, RATE), RATE, PrepareConfig(sample_rate=RATE))
    write_audio(folder / path, x, RATE)
    return Line(
        path=path,
        speaker=utterance.speaker,
        text=utterance.text,
        language=utterance.language,
        speed=utterance.speed,
        samples=len(x),
        bandwidth=prepared_bandwidth(spoken.x, SAMPLE_RATE, RATE),
        tokens=tuple(map(int, spoken.tokens)),
        durations=tuple(map(int, spoken.durations)),
        pitch=tuple(round(float(value), 1) for value in spoken.pitch),
        style=tuple(round(float(value), 5) for value in spoken.style),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    known = sorted(fortunes.LANGUAGES)
    parser.add_argument("plan", choices=ACOUSTIC, help="whose voices")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the speech")
    parser.add_argument("--minutes", type=float, default=45.0, help="about how much (%(default)s)")
    parser.add_argument("--languages", nargs="+", choices=known, default=known, help="of the sentences (all)")
    parser.add_argument(
        "--cache", type=Path, default=debian.default_cache(), help="where downloads are kept (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    texts = {language: fortunes.sentences(language, args.cache) for language in args.languages}
    utterances = planned(PLANS[args.plan], args.minutes, texts)
    start, seconds = time.monotonic(), 0.0
    for number, line in enumerate(synthesise(utterances, args.output), start=1):
        seconds += line.seconds
        if number % _REPORT_EVERY == 0 or number == len(utterances):
            took = (time.monotonic() - start) / 60
            print(f"{number} of {len(utterances)}: {seconds / 60:.1f} minutes in {took:.1f}", flush=True)
    return 0
