"""From a foreign checkpoint to a model directory."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vocoder.checkpoint import CheckpointError, save_model
from vocoder.config import ConfigError
from vocoder.importers.nvidia_waveglow import import_waveglow
from vocoder.importers.r9y9_wavenet import import_r9y9
from vocoder.importers.weights import Imported, Weights, read_weights
from vocoder.mel.config_file import Statistics, read_statistics

Importer = Callable[[Weights, Mapping[str, Any] | None, Statistics | None], Imported]
"""from a checkpoint, the settings file of its project, and the mean and variance of each mel bin"""
IMPORTERS: Mapping[str, Importer] = MappingProxyType({"nvidia-waveglow": import_waveglow, "r9y9-wavenet": import_r9y9})

PRECISION = "it computes in float32, as the original does, unless another dtype is asked for"


def import_model(
    layout: str, file: Path, directory: Path, *, config: Path | None = None, statistics: Path | None = None
) -> Imported:
    """Write the model directory of a foreign checkpoint.

    Args:
        layout: a key of `IMPORTERS`.
        file: the checkpoint.
        directory: where the model goes.
        config: settings of the foreign project, JSON.
        statistics: mean and variance of each mel bin, npz or JSON.

    Raises a CheckpointError if the checkpoint cannot be imported; the text says what is wrong.
    """
    weights = read_weights(file)
    try:
        given = None if statistics is None else read_statistics(statistics)
        imported = IMPORTERS[layout](weights, None if config is None else _object_in(config), given)
    except ConfigError as error:  # of the architecture that the tensors imply, or of the mel config that the files make
        raise CheckpointError(f"{file} cannot be imported as {layout}: {error}") from error
    origin = {"layout": layout, "file": weights.source, "sha256": weights.sha256, "step": weights.step}
    origin |= {"module": weights.module}
    provenance: dict[str, Any] = {"imported": {name: value for name, value in origin.items() if value is not None}}
    if imported.notes:
        provenance["notes"] = list(imported.notes)
    save_model(directory, imported.model, imported.mel_config, provenance, card=_card(layout, weights, imported))
    return imported


def _object_in(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not a {type(config).__name__}")
    return config


def _card(layout: str, weights: Weights, imported: Imported) -> str:
    notes = "".join(f"- {note}\n" for note in imported.notes)
    return (
        f"# {Path(weights.source).stem}\n\nA vocoder imported from {weights.source} (layout {layout}, SHA-256 "
        f"`{weights.sha256}`).\nIts licence is that of the original, and its mel config is "
        f"`{imported.mel_config.name}`; see config.json.\n\n"
        f"- {PRECISION}\n{notes}"
    )
