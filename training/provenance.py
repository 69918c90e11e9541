"""Where a model comes from: data, licences, machine, software, and what it takes over from other models."""

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
"""settings, of today and before, that name a model whose weights, or what they know, go into another"""


def provenance(manifest: Manifest) -> dict[str, Any]:
    """Return the corpora with hours and licences, and the software and machine of a run, as plain data.

    `manifest_sha256` is of what there is to learn and to judge by; a licence may be added later.
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
    """Return the software and the machine of a run, as plain data."""
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "software": {"flow-vocoder": __version__, "torch": torch.__version__.split("+")[0]},
        "machine": {"device": machine, "threads": torch.get_num_threads()},
    }


def origin_of(**references: str | None) -> dict[str, Any]:
    """Return what a model comes from: by role the names of models or of the runs that made them, and their recordings.

    Recordings include those that these models inherited. A model that does not say what it was trained on counts as one
    corpus of unknown licence. Raises CheckpointError if there is no such model.
    """
    given = {role: reference for role, reference in references.items() if reference is not None}
    names = {role: run_name(reference) for role, reference in given.items()}
    found: list[dict[str, Any]] = []
    for role, reference in given.items():
        source = with_inheritance(read_config(model_directory(reference)).get("provenance") or {})
        step = f"{role} {names[role]}"
        for entry in all_data(source) or [_undocumented(names[role])]:
            # The newest step first; a model that followed one of its name is one.
            steps = dict.fromkeys([step, *entry["through"].split(", ")] if "through" in entry else [step])
            found.append({**entry, "through": ", ".join(steps)})
    return {**names, "inherited": _once(found)} if given else {}


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
            entries = all_data(read_config(model_directory(name)).get("provenance") or {})
            found += [{**entry, "through": f"{role} {name} (by its name)"} for entry in entries]
        elif name is not None:
            found.append({**_undocumented(name), "through": f"{role} {name}"})
    return {**provenance, "inherited": _once(found)} if found else dict(provenance)


def together(provenances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last of some provenances, which inherits the recordings of the others."""
    *others, last = map(with_inheritance, provenances)
    own = {(entry["corpus"], entry["licence"]) for entry in last.get("data", [])}
    found = [*last.get("inherited", []), *(entry for other in others for entry in all_data(other))]
    inherited = [entry for entry in _once(found) if (entry["corpus"], entry["licence"]) not in own]
    return {**last, "inherited": inherited} if inherited else last


def _once(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry for each corpus and licence, the first: a run may inherit a corpus in dozens of ways.

    It has the voices of all, or the whole corpus, and the most hours.
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
    """Return (corpus, speaker) of all voices that went into a model, (corpus, None) for a corpus as a whole.

    None where the model does not say what it was trained on.
    """
    if not provenance.get("data"):
        return None
    entries = all_data(with_inheritance(provenance))
    return frozenset((entry["corpus"], speaker) for entry in entries for speaker in entry.get("speakers", [None]))


def run_name(reference: str) -> str:
    """Return the name of a model, or of the run whose last model it is."""
    parts = Path(reference).parts
    return parts[-3] if len(parts) > 2 and parts[-2:] == ("last", "model") else parts[-1]


def _undocumented(name: str) -> dict[str, Any]:
    return {"corpus": f"recordings of {name}", "licence": UNKNOWN, "attribution": f"{name} does not say which"}
