"""Where a model comes from: data, licences, machine, software."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

from training.corpora.manifest import Entry, Manifest
from vocoder import __version__

__all__ = ["provenance", "surroundings"]


def provenance(manifest: Manifest) -> dict[str, Any]:
    """Return the corpora with hours and licences, and the software and machine of a run, as plain data."""
    attributions = _attributions(manifest.root / "dataset.json")
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
        | ({"attribution": attributions[corpus]} if corpus in attributions else {})
        for corpus, entries in sorted(corpora.items())
    ]
    return {"data": data, **surroundings()}


def surroundings() -> dict[str, Any]:
    """Return the software and the machine of a run, as plain data."""
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "software": {"flow-vocoder": __version__, "torch": torch.__version__.split("+")[0]},
        "machine": {"device": machine, "threads": torch.get_num_threads()},
    }


def _attributions(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    corpora = json.loads(path.read_text(encoding="utf-8")).get("corpora", {})
    return {name: corpus["attribution"] for name, corpus in corpora.items() if "attribution" in corpus}
