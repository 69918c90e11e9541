"""A model's provenance: data, licences, machine, software, and what it inherits from other models."""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from training.corpora.corpus import UNKNOWN
from training.corpora.manifest import Entry, Manifest
from vocoder import __version__
from vocoder.checkpoint import read_config
from vocoder.loading import model_directory, shipped_models

ROLES = ("start_from", "teacher", "flows_from", "pitch_from", "fill_from")
"""settings, current and former, that name a model whose weights or outputs go into the new model"""


def provenance(manifest: Manifest) -> dict[str, Any]:
    """Return a run's corpora with hours and licences, and its software and machine, as plain data.

    `manifest_sha256` covers recordings and splits but no licences, which may be added later.
    """
    record = manifest.root / "dataset.json"
    known = json.loads(record.read_text(encoding="utf-8")).get("corpora", {}) if record.is_file() else {}
    corpora: dict[str, list[Entry]] = {}
    for entry in manifest.select("train"):
        corpora.setdefault(entry.corpus, []).append(entry)
    data = [
        {
            "corpus": corpus,
            "hours": round(sum(entry.duration for entry in entries) / 3600, 3),
            "licence": entries[-1].licence,
            "speakers": sorted({entry.speaker for entry in entries}),
        }
        | ({"synthetic": True} if any(entry.synthetic for entry in entries) else {})
        | ({"attribution": known[corpus]["attribution"]} if "attribution" in known.get(corpus, {}) else {})
        for corpus, entries in sorted(corpora.items())
    ]
    heard = [(e.path, e.speaker, e.split, e.duration, e.sample_rate, e.mel) for e in manifest.entries]
    return {"data": data, "manifest_sha256": hashlib.sha256(repr(heard).encode()).hexdigest(), **surroundings()}


def surroundings() -> dict[str, Any]:
    """Return a run's software and machine, as plain data."""
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "software": {"flow-vocoder": __version__, "torch": torch.__version__.split("+")[0]},
        "machine": {"device": machine, "threads": torch.get_num_threads()},
    }


def origin_of(**references: str) -> dict[str, Any]:
    """Return the models or runs that a model comes from, by role, and their recordings.

    Recordings that these models inherited are included. A model that does not say what it was trained on counts as a
    corpus of unknown licence. Raises CheckpointError if there is no such model.
    """
    names = {role: run_name(reference) for role, reference in references.items()}
    found: list[dict[str, Any]] = []
    for role, reference in references.items():
        source = with_inheritance(read_config(model_directory(reference)).get("provenance") or {})
        step = f"{role} {names[role]}"
        for entry in all_data(source) or [_undocumented(names[role])]:
            # The newest step first; consecutive models of the same name count once.
            steps = dict.fromkeys([step, *entry["through"].split(", ")] if "through" in entry else [step])
            found.append({**entry, "through": ", ".join(steps)})
    return {**names, "inherited": _once(found)} if names else {}


def all_data(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the corpora that a model was trained on, then those that it inherited."""
    return [*provenance.get("data", []), *provenance.get("inherited", [])]


def with_inheritance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance that lists the inherited corpora, even if the given one only names the models.

    Names are looked up among the shipped models, and the entries say so. Other models have unknown licences.
    """
    if "inherited" in provenance:
        return dict(provenance)
    found: list[dict[str, Any]] = []
    for role in ROLES:
        name = provenance.get(role)
        if name in shipped_models():
            entries = all_data(read_config(model_directory(name)).get("provenance") or {})
            found += [{**entry, "through": f"{role} {name} (by its name)"} for entry in entries]
        elif name is not None:
            found.append({**_undocumented(name), "through": f"{role} {name}"})
    return {**provenance, "inherited": _once(found)} if found else dict(provenance)


def together(provenances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last provenance, extended to inherit the corpora of the others."""
    *others, last = map(with_inheritance, provenances)
    own = {(entry["corpus"], entry["licence"]) for entry in last.get("data", [])}
    found = [*last.get("inherited", []), *(entry for other in others for entry in all_data(other))]
    inherited = [entry for entry in _once(found) if (entry["corpus"], entry["licence"]) not in own]
    return {**last, "inherited": inherited} if inherited else last


def _once(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the first entry of each corpus and licence, because a run may inherit a corpus in dozens of ways.

    It gets the speakers of all entries, or none if an entry covers the whole corpus, and the most hours.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        kept = found.setdefault((entry["corpus"], entry["licence"]), dict(entry))
        if "speakers" in kept and "speakers" in entry:
            kept["speakers"] = sorted({*kept["speakers"], *entry["speakers"]})
        else:
            kept.pop("speakers", None)
        if "hours" in entry:
            kept["hours"] = max(entry["hours"], kept.get("hours", 0.0))
    return list(found.values())


def heard_speakers(provenance: Mapping[str, Any]) -> frozenset[tuple[str, str | None]] | None:
    """Return (corpus, speaker) of all voices that went into a model, or (corpus, None) for a whole corpus.

    Return None if the model does not say what it was trained on.
    """
    if not provenance.get("data"):
        return None
    entries = all_data(with_inheritance(provenance))
    return frozenset((entry["corpus"], speaker) for entry in entries for speaker in entry.get("speakers", [None]))


def run_name(reference: str) -> str:
    """Return the name of a model, or of its run for a path RUN/last/model."""
    parts = Path(reference).parts
    return parts[-3] if len(parts) > 2 and parts[-2:] == ("last", "model") else parts[-1]


def _undocumented(name: str) -> dict[str, Any]:
    return {"corpus": f"recordings of {name}", "licence": UNKNOWN, "attribution": f"{name} does not say which"}
