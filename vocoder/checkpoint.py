"""Model directories: config.json, model.safetensors and a model card, data that runs no code.

config.json holds the SHA-256 of the weights and of its own content, so that damage in storage or transport, or files of
two models in one directory, are found when the model is loaded. They are no signature: who can change a file on purpose
can change its sum.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.mel.config import MelConfig
from vocoder.models.families import families, family_of

__all__ = ["Checkpoint", "CheckpointError", "load_model", "read_provenance", "save_model"]

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1


class CheckpointError(ValueError):
    """A model directory is missing, damaged or not what it says."""


@dataclass(frozen=True)
class Checkpoint:
    """A model with what its directory says about it."""

    model: nn.Module
    family: str
    mel_config: MelConfig
    provenance: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str | None = None


def save_model(
    directory: Path | str,
    model: nn.Module,
    mel_config: MelConfig,
    provenance: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    card: str | None = None,
) -> Path:
    """Write a model directory and return its path.

    Args:
        directory: made if it is missing; its files are replaced.
        model: a model of a known family.
        mel_config: of the mels of the model.
        provenance: data, licence, training time, machine; anything JSON can hold.
        quality: measured scores; anything JSON can hold.
        dtype: of the floating-point weights on disk.
        card: text of README.md; a short one is written if it is left out.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    family = family_of(model)
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }
    weights = directory / "model.safetensors"
    save_file(tensors, weights)
    weights.chmod(0o644)  # it is made readable by its owner alone, but containers run as others
    config = {
        "format_version": FORMAT_VERSION,
        "family": family,
        "architecture": to_dict(model.config),
        "mel": to_dict(mel_config),
        "weights_sha256": _sha256(weights),
        "provenance": dict(provenance or {}),
        "quality": dict(quality or {}),
    }
    config["config_sha256"] = _config_sha256(config)
    (directory / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    card_path = directory / "README.md"
    if card is not None or not card_path.exists():
        card_path.write_text(card or f"# {family}\n\nA {family} vocoder; see config.json.\n", encoding="utf-8")
    return directory


def load_model(directory: Path | str, weights: bool = True) -> Checkpoint:
    """Read a model directory; configuration and weights are checked against their sums, and weights become float32.

    A directory without sums loads too, and the log says that it was not checked.

    Args:
        directory: of the model.
        weights: False leaves the model with random weights, which is enough to describe it.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights do not fit the configuration.
    """
    directory = Path(directory)
    config = _read_config(directory)
    try:
        family = families()[str(config["family"])]
        architecture = from_dict(family.config, _renamed(config["architecture"]), "architecture")
        mel_config = from_dict(MelConfig, config["mel"], "mel")
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{directory / 'config.json'} describes no known model: {error}") from error
    _check_mel_config(directory, architecture, mel_config)
    model = family.build(architecture)
    sha256 = config.get("weights_sha256")
    if weights:
        _load_weights(model, directory / "model.safetensors", sha256)
    provenance, quality = config.get("provenance") or {}, config.get("quality") or {}
    return Checkpoint(model.eval(), config["family"], mel_config, provenance, quality, sha256)


def _renamed(architecture: Any) -> Any:
    """Return an architecture with today's names of its fields.

    Version 0.1 corrected audio over all frames at once; two of today's corrections, over half of them, cost as much.
    """
    if not isinstance(architecture, Mapping) or "consistency_steps" not in architecture:
        return architecture
    rest = {name: value for name, value in architecture.items() if name != "consistency_steps"}
    return {"corrections": 2 * architecture["consistency_steps"], **rest}


def read_provenance(directory: Path | str) -> dict[str, Any]:
    """Return what a model directory says of its data and training, without reading its weights.

    Raises:
        CheckpointError: there is no such directory, or its configuration is damaged.
    """
    return dict(_read_config(Path(directory)).get("provenance") or {})


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if not path.is_file():
        inner = directory / "last" / "model"
        hint = f"; did you mean {inner}?" if (inner / "config.json").is_file() else ""
        raise CheckpointError(f"{directory} is no model directory: it has no config.json{hint}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path} must be a JSON object with format_version {FORMAT_VERSION}")
    expected = config.get("config_sha256")
    if expected is not None and _config_sha256(config) != expected:
        raise CheckpointError(
            f"{path} is damaged or was changed: its content has another SHA-256 than its config_sha256 says; "
            "if it was changed on purpose, remove config_sha256"
        )
    if expected is None or config.get("weights_sha256") is None:
        logger.warning("%s has no checksums: whether its files are intact was not checked", directory)
    return config


def _check_mel_config(directory: Path, architecture: Any, mel_config: MelConfig) -> None:
    for name in ("sample_rate", "hop_length", "n_mels"):
        expected = getattr(mel_config, name)
        ours = getattr(architecture, name, expected)
        if ours != expected:
            raise CheckpointError(f"{directory / 'config.json'} has {name} {ours} in the model, {expected} in the mel")


def _load_weights(model: nn.Module, path: Path, expected_sha256: str | None) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    if expected_sha256 is not None and _sha256(path) != expected_sha256:
        raise CheckpointError(f"{path} is damaged or of another model: its SHA-256 is not the one in config.json")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file: {error}") from error
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its config.json: {error}") from error


def _config_sha256(config: Mapping[str, Any]) -> str:
    """Return the sum of a configuration's content, however its file is laid out."""
    content = {name: value for name, value in config.items() if name != "config_sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
