"""What a model takes over from the models that it was made from: their recordings, with licences and attributions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vocoder.checkpoint import read_provenance
from vocoder.loading import model_directory, shipped_models

__all__ = ["UNKNOWN", "all_data", "heard_speakers", "inherited", "run_name", "with_inheritance"]

UNKNOWN = "unknown"
"""the licence of recordings that nobody named one for"""
ROLES = ("start_from", "teacher", "flows_from", "pitch_from", "fill_from")
"""the settings that name a model whose weights, or what they know, go into another"""


def inherited(references: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the recordings behind the models that a run starts from, by role, those that they inherited included.

    A model that does not say what it was trained on counts as one corpus of unknown licence.

    Args:
        references: directories or names of models by role, such as {"start_from": "waveglow"}.

    Raises:
        CheckpointError: there is no such model.
    """
    found = []
    for role, reference in references.items():
        source = with_inheritance(read_provenance(model_directory(reference)))
        through = f"{role} {run_name(reference)}"
        found += [
            {**entry, "through": ", ".join([through, *filter(None, [entry.get("through")])])}
            for entry in all_data(source) or [_undocumented(run_name(reference))]
        ]
    return found


def all_data(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recordings that a model was trained on, then those that it inherited."""
    return [*provenance.get("data", []), *provenance.get("inherited", [])]


def with_inheritance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance that lists what was inherited, also where it only names the models.

    Such a name is looked up among the shipped models, and the entry says so; others are of unknown licence.
    """
    if "inherited" in provenance:
        return dict(provenance)
    found: list[dict[str, Any]] = []
    for role in ROLES:
        name = provenance.get(role)
        if name in shipped_models():
            entries = all_data(read_provenance(model_directory(name)))
            found += [{**entry, "through": f"{role} {name} (by its name)"} for entry in entries]
        elif name is not None:
            found.append({**_undocumented(name), "through": f"{role} {name}"})
    return {**provenance, "inherited": found} if found else dict(provenance)


def heard_speakers(provenance: Mapping[str, Any]) -> frozenset[tuple[str, str | None]] | None:
    """Return (corpus, speaker) of all voices that went into a model, (corpus, None) for a corpus as a whole.

    Returns:
        None where the model does not say what it was trained on.
    """
    entries = all_data(with_inheritance(provenance))
    if not provenance.get("data"):
        return None
    return frozenset((entry["corpus"], speaker) for entry in entries for speaker in entry.get("speakers", [None]))


def run_name(reference: str) -> str:
    """Return the name of a model, or of the run whose last model it is."""
    parts = Path(reference).parts
    return parts[-3] if len(parts) > 2 and parts[-2:] == ("last", "model") else parts[-1]


def _undocumented(name: str) -> dict[str, Any]:
    return {"corpus": f"recordings of {name}", "licence": UNKNOWN, "attribution": f"{name} does not say which"}
