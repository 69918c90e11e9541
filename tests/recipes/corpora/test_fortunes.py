"""Sentences to read aloud: prose of the right length, from the system's folder or an unpacked package."""

import pytest

from recipes.corpora import fortunes
from training.corpora.corpus import CorpusError

PROSE = "A plain sentence, long enough to be read aloud."


def place(root, language, *texts):
    """Write every file that a language reads, the texts into the first."""
    for number, name in enumerate(fortunes.LANGUAGES[language]["files"]):
        path = root / "usr/share/games/fortunes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n%\n".join(texts) if number == 0 else "", encoding="utf-8")


def test_prose_is_taken_and_the_rest_left(tmp_path):
    place(
        tmp_path,
        "en-us",
        f"{PROSE}\n\t\t-- Somebody Famous, whose name must not be read aloud",
        "Too short.",
        f"A sentence with 3 numbers that would be read in many ways.  {PROSE}",
        "A sentence that is broken\nover two lines and comes whole!",
        "for (i = 0; i < count; i++) { this is code and not a sentence; }.",
        "A sentence " + "that goes on and on and on " * 5 + "is too long.",
    )
    found = fortunes.sentences("en-us", tmp_path / "cache", system=tmp_path)
    assert found == (PROSE, "A sentence that is broken over two lines and comes whole!")


def test_italian_gets_the_accents_that_ascii_puts_behind(tmp_path):
    place(tmp_path, "it", "L'amore che dura di piu' e' quello che non e' mai corrisposto.")
    found = fortunes.sentences("it", tmp_path / "cache", system=tmp_path)
    assert found == ("L'amore che dura di più è quello che non è mai corrisposto.",)


def test_an_unpacked_package_serves_where_nothing_is_installed(tmp_path):
    place(tmp_path / "cache/fortunes-pl", "pl", PROSE)
    assert fortunes.sentences("pl", tmp_path / "cache", system=tmp_path) == (PROSE,)


def test_packages_without_the_files_or_sentences_are_named(tmp_path):
    place(tmp_path, "es", "")
    with pytest.raises(CorpusError, match="no sentence of 35 to 125 characters"):
        fortunes.sentences("es", tmp_path / "cache", system=tmp_path)
    (tmp_path / "cache/fortunes-de").mkdir(parents=True)
    with pytest.raises(CorpusError, match="fortunes-de should hold"):
        fortunes.sentences("de", tmp_path / "cache", system=tmp_path)
