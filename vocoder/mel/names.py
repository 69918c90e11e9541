"""What the names of acoustic models mean for their mels."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from types import MappingProxyType

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "matcha-tts": "hifigan",
        "cosyvoice": "hifigan",
        "chatterbox": "cosyvoice2",
        "e2-tts": "f5-tts",
        "luxtts": "zipvoice",
        "glow-tts": "nvidia",
        "grad-tts": "nvidia",
    }
)
"""presets by other names of the same mels"""

_VERSIONED: Mapping[str, str] = MappingProxyType(
    {
        "indextts": "indextts2",
        "gptsovits": "gpt-sovits-v4",
        "vits": "hifigan",
        "fastspeech2": "espnet",
        "fastpitch": "nvidia",
        "tacotron2": "nvidia",
        "deepvoice": "r9y9",
    }
)
"""likely presets by the start of names whose mels depend on the version or recipe"""


def canonical(name: str, known: Collection[str]) -> str | None:
    """Return the known preset that a name stands for, or None. Case and punctuation do not matter."""
    if name in known:
        return name
    spelt = {_letters(word): word for word in (*known, *ALIASES)}
    found = spelt.get(_letters(name))
    found = ALIASES.get(found, found) if found is not None else None
    return found if found in known else None


def other_names(preset: str) -> list[str]:
    """Return the other names of a preset."""
    return [name for name, stands_for in ALIASES.items() if stands_for == preset]


def meant(name: str, known: Collection[str]) -> str:
    """Return the preset that an ambiguous or misspelt name may mean; empty if unknown."""
    start = next((start for start in _VERSIONED if _letters(name).startswith(start)), None)
    if start is not None:
        return f": its mels are {_VERSIONED[start]!r} as a rule, see docs/acoustic-models.md"
    near = difflib.get_close_matches(name, (*known, *ALIASES), n=1, cutoff=0.85)
    return f", is {near[0]!r} meant" if near else ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
