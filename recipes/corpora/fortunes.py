"""Sentences to read aloud, from the quotations of Debian's `fortunes` packages."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from recipes.corpora.downloads import download
from training.corpora.corpus import CorpusError
from vocoder.mel.config_file import read_settings

LANGUAGES: dict[str, dict[str, list[str]]] = read_settings(Path(__file__).with_suffix(".yaml"))
"""packages, and their files with prose, by espeak-ng's name of the language"""
SHORTEST = 35
LONGEST = 125
_FOLDER = Path("usr/share/games/fortunes")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PLAIN = re.compile(r"[^\W\d_][^\W\d_ ,;:'’\-]*(?:[ ,;:'’\-]+[^\W\d_]+)+'?[.!?]")
_APOSTROPHE = re.compile(r"([aeiou])'(?![^\W\d_])")
_ACCENTS = {"a": "à", "e": "è", "i": "ì", "o": "ò", "u": "ù"}


def sentences(language: str, cache: Path, system: Path = Path("/")) -> tuple[str, ...]:
    """Return distinct plain sentences of 35 to 125 characters in one of `LANGUAGES`, in the order of the files.

    Packages that are not installed under `system` are unpacked into `cache`. Raises CorpusError if a package is neither
    found nor downloadable, or has no such sentence.
    """
    packages, names = LANGUAGES[language]["packages"], LANGUAGES[language]["files"]
    found: dict[str, None] = {}
    for name in names:
        roots = chain((system,), (download(package, cache) for package in packages))
        path = next((path for root in roots if (path := root / _FOLDER / name).is_file()), None)
        if path is None:
            raise CorpusError(f"{', '.join(packages)} should have {_FOLDER / name}, but does not")
        found |= dict.fromkeys(_of_file(path, language))
    if not found:
        raise CorpusError(f"no sentence of {SHORTEST} to {LONGEST} characters in {', '.join(names)}")
    return tuple(found)


def _of_file(path: Path, language: str) -> Iterator[str]:
    for quotation in re.split(r"^%$", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE):
        said = quotation.split("--")[0]
        for sentence in _SENTENCE_END.split(" ".join(said.split())):
            if SHORTEST <= len(sentence) <= LONGEST and _PLAIN.fullmatch(sentence):
                # Italian texts in ASCII have apostrophes after vowels for accents.
                yield _APOSTROPHE.sub(lambda match: _ACCENTS[match[1]], sentence) if language == "it" else sentence
