"""Model directories: config.json, model.safetensors and a model card, data that runs no code.

config.json holds the SHA-256 of the weights and of its own content, so that damage in storage or transport, or files of
two models in one directory, are found when the model is loaded. They are no signature: who can change a file on purpose
can change its sum.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.directories import CheckpointError as CheckpointError
from vocoder.files import read_small, replaced
from vocoder.mel.config import MelConfig
from vocoder.models.families import FAMILIES, Families, family_of
from vocoder.sampling import MAX_CORRECTIONS

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_CONFIG_BYTES = 2**22
MOST = {"corrections": MAX_CORRECTIONS, "flows": 256, "blocks": 256, "layers": 256, "sigma": 100}
MOST_OF_OTHERS = 2**19
"""far beyond any model, so that a file from elsewhere cannot ask for endless work"""
MOST_ITEMS = 256
RETIRED = {
    "alternate_halves": False,
    "coupling": "affine",
    "front_kernel": 1,
    "front_relu": False,
    "kind": "stretched",
    "levels": None,
    "noise": "gaussian",
    "slope": None,
    "within_frame": True,
}
"""fields of earlier versions, and the value that they always have now; None for any"""


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
    families: Families = FAMILIES,
) -> Path:
    """Write a model directory and return its path; its files are replaced, all at once.

    Args:
        directory: made if it is missing.
        model: a model of one of the `families`.
        mel_config: of the mels of the model.
        provenance: data, licence, training time, machine; anything JSON can hold.
        quality: measured scores; anything JSON can hold.
        dtype: of the floating-point weights on disk.
        card: text of README.md; a short one is written if it is left out.
        families: that are known; those of this package if left out.
    """
    directory, family = Path(directory), family_of(model, families)
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }
    with replaced(directory) as fresh:
        weights = fresh / "model.safetensors"
        try:
            save_file(tensors, weights)
        except SafetensorError as error:  # such as a full disk
            raise OSError(f"cannot write {directory / weights.name}: {error}") from error
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
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (fresh / "config.json").write_text(text, encoding="utf-8")
        if card is not None or not (directory / "README.md").exists():
            text = card or f"# {family}\n\nA {family} model; see config.json.\n"
            (fresh / "README.md").write_text(text, encoding="utf-8")
    return directory


def load_model(directory: Path | str, weights: bool = True, families: Families = FAMILIES) -> Checkpoint:
    """Read a model directory; configuration and weights are checked against their sums, and weights become float32.

    A directory without sums loads too, and the log says that it was not checked. Without `weights` the model has random
    ones, which is enough to describe it.

    Raises a CheckpointError if a file is missing or damaged, or the weights do not fit the configuration.
    """
    directory = Path(directory)
    config = read_config(directory)
    try:
        family = families[str(config["family"])]
        architecture = from_dict(family.config, _renamed(config["architecture"]), "architecture")
        _check_sizes(architecture, "architecture")
        mel_config = from_dict(MelConfig, config["mel"], "mel")
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{directory / 'config.json'} describes no known model: {error}") from error
    for name in ("sample_rate", "hop_length", "n_mels"):
        ours, theirs = getattr(architecture, name, None), getattr(mel_config, name)
        if ours not in (None, theirs):
            raise CheckpointError(f"{directory / 'config.json'} has {name} {ours} in the model, {theirs} in the mel")
    sha256 = config.get("weights_sha256")
    path = directory / "model.safetensors"
    tensors = _read_tensors(path, sha256, weights)
    if family.measurable and tensors:
        with torch.device("meta"):  # takes no memory, whatever sizes the configuration has
            _load_weights(family.build(architecture), {name: value.to("meta") for name, value in tensors.items()}, path)
    model = family.build(architecture)
    if weights:
        _load_weights(model, tensors, path)
    provenance, quality = config.get("provenance") or {}, config.get("quality") or {}
    return Checkpoint(model.eval(), config["family"], mel_config, provenance, quality, sha256)


def _renamed(architecture: Any) -> Any:
    """Return an architecture with today's fields.

    Version 0.1 corrected audio over all frames at once; two of today's corrections, over half of them, cost as much.
    """
    if not isinstance(architecture, Mapping):
        return architecture
    found = {
        name: _renamed(value)
        for name, value in architecture.items()
        if name not in RETIRED or RETIRED[name] not in (None, value)
    }
    steps = found.pop("consistency_steps", None)
    return found if steps is None else {"corrections": 2 * steps, **found}


def read_config(directory: Path) -> dict[str, Any]:
    """Return the content of config.json, checked against its sum; raises a CheckpointError as `load_model`."""
    path = directory / "config.json"
    if not path.is_file():
        inner = directory / "last" / "model"
        hint = f"; did you mean {inner}?" if (inner / "config.json").is_file() else ""
        raise CheckpointError(f"{directory} is no model directory: it has no config.json{hint}")
    try:
        config = json.loads(read_small(path, MAX_CONFIG_BYTES))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path} must be a JSON object with format_version {FORMAT_VERSION}")
    expected = config.get("config_sha256")
    if expected is not None and _config_sha256(config) != expected:
        remedy = "if it was changed on purpose, remove config_sha256"
        raise CheckpointError(f"{path} is damaged or was changed: its SHA-256 is not its config_sha256; {remedy}")
    if expected is None or config.get("weights_sha256") is None:
        logger.warning("%s has no checksums: whether its files are intact was not checked", directory)
    return config


def _check_sizes(config: Any, where: str) -> None:
    """Raise unless all numbers of a configuration are finite, and none is absurdly large."""
    for name in (entry.name for entry in dataclasses.fields(config)):
        value = getattr(config, name)
        items = value if isinstance(value, tuple) else (value,)
        most = MOST.get(name, MOST_OF_OTHERS)
        if len(items) > MOST_ITEMS:
            raise ConfigError(f"{where}.{name} has {len(items)} items; at most {MOST_ITEMS} are supported")
        for item in items:
            if dataclasses.is_dataclass(item):
                _check_sizes(item, f"{where}.{name}")
            elif isinstance(item, (int, float)) and not abs(item) <= most:
                raise ConfigError(f"{where}.{name} must be a number up to {most}, not {item}")


def _read_tensors(path: Path, sha256: str | None, weights: bool) -> dict[str, Tensor]:
    """Return the tensors of a file, in float32; without `weights` of their shapes alone, and none if it is missing."""
    if not path.is_file():
        if weights:
            raise CheckpointError(f"{path} is missing")
        return {}
    if weights and sha256 is not None and _sha256(path) != sha256:
        raise CheckpointError(f"{path} is damaged or of another model: its SHA-256 is not the one in config.json")
    try:
        if weights:
            return {name: x.float() if x.is_floating_point() else x for name, x in load_file(path).items()}
        with safe_open(path, "pt") as file:
            return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file: {error}") from error


def _load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        own = model.state_dict().keys()
        model.load_state_dict({name if name in own else _today(name): value for name, value in tensors.items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its config.json: {error}") from error


def _today(name: str) -> str:
    """Return the name of a tensor; version 0.1 called a `condition` `upsampling`, and a `log_scale` `log_s`."""
    name = name.replace("upsampling.", "condition.", 1) if name.startswith("upsampling.") else name
    return f"{name.removesuffix('log_s')}log_scale" if name.endswith(".log_s") else name


def _config_sha256(config: Mapping[str, Any]) -> str:
    """Return the sum of a configuration's content, however its file is laid out."""
    content = {name: value for name, value in config.items() if name != "config_sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
