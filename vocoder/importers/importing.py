"""From a foreign checkpoint to a model directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vocoder.checkpoint import CheckpointError, save_model
from vocoder.config import ConfigError
from vocoder.importers.imported import Imported, Request
from vocoder.importers.nvidia_waveglow import import_waveglow
from vocoder.importers.r9y9_wavenet import import_r9y9_wavenet
from vocoder.importers.weights import Weights, read_weights
from vocoder.mel import config_file

IMPORTERS: MappingProxyType[str, Callable[[Request], Imported]] = MappingProxyType(
    {
        "nvidia-waveglow": import_waveglow,
        "r9y9-wavenet": import_r9y9_wavenet,
    }
)

PRECISION = "it computes in float32, as the original does, unless another dtype is asked for"


def import_model(
    layout: str,
    file: Path,
    directory: Path,
    *,
    config: Path | None = None,
    speaker: int | None = None,
    statistics: Path | None = None,
) -> Imported:
    """Write the model directory of a foreign checkpoint.

    Args:
        layout: a key of `IMPORTERS`.
        file: the checkpoint.
        directory: where the model goes.
        config: settings of the foreign project, JSON.
        speaker: of a multi-speaker model.
        statistics: mean and variance of each mel bin, npz or JSON.

    Raises:
        CheckpointError: the checkpoint cannot be imported; the text says what is wrong.
        FileNotFoundError: there is no such file.
    """
    weights = read_weights(file)
    request = Request(
        weights,
        read_config(config) if config is not None else None,
        speaker,
        read_statistics(statistics) if statistics is not None else None,
    )
    try:
        imported = IMPORTERS[layout](request)
    except ConfigError as error:  # of the mel config that configuration and statistics make
        raise CheckpointError(f"{file} cannot be imported: {error}") from error
    provenance: dict[str, Any] = {"imported": _origin(layout, request)}
    if imported.notes:
        provenance["notes"] = list(imported.notes)
    save_model(directory, imported.model, imported.mel_config, provenance, card=_card(layout, weights, imported))
    return imported


def read_config(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        CheckpointError: it is no JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not a {type(config).__name__}")
    return config


def read_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return `mean` and `variance` of an npz or JSON file.

    Raises:
        CheckpointError: they are missing or no two lists of numbers.
    """
    try:
        return config_file.read_statistics(path)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def _origin(layout: str, request: Request) -> dict[str, Any]:
    """Return where a model came from, for its config.json."""
    origin = {"layout": layout} | _file(request.weights)
    if request.weights.module is not None:
        origin["module"] = request.weights.module
    if request.speaker is not None:
        origin["speaker"] = request.speaker
    return origin


def _file(weights: Weights) -> dict[str, Any]:
    found: dict[str, Any] = {"file": weights.source, "sha256": weights.sha256}
    return found if weights.step is None else found | {"step": weights.step}


def _card(layout: str, weights: Weights, imported: Imported) -> str:
    notes = "".join(f"- {note}\n" for note in imported.notes)
    return (
        f"# {Path(weights.source).stem}\n\nA vocoder imported from {weights.source} (layout {layout}, SHA-256 "
        f"`{weights.sha256}`).\nIts licence is that of the original, and its mel config is "
        f"`{imported.mel_config.name}`; see config.json.\n\n"
        f"- {PRECISION}\n{notes}"
    )
