"""Model directories: config.json, model.safetensors and a model card. They are data; loading them runs no code.

config.json holds SHA-256 checksums of the weights and of its own content, so that damaged files, or files of two models
in one directory, are found on loading. Checksums are no signature: whoever can change a file can change its checksum.
"""

import copy
import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.directories import CheckpointError as CheckpointError
from vocoder.files import read_small, replaced
from vocoder.mel.config import MelConfig
from vocoder.models.families import FAMILIES, Families, family_of
from vocoder.stages import torch_defaults

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_CONFIG_BYTES = 2**22
MOST = {"flows": 256, "blocks": 256, "layers": 256, "sigma": 100}
MOST |= {"sample_rate": 2**19, "n_fft": 2**15, "win_length": 2**15, "hop_length": 2**11, "group_size": 2**11}
MOST_WHOLE, MOST_OF_OTHERS = 2**12, 2**19
"""limits far beyond any real model, so that an untrusted file cannot cause endless work"""
MOST_ITEMS = 256
MOST_NUMBERS, SPARE = 2**32, 2**24
"""numbers that a model may hold: without a file of weights, and beside those in its file"""
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
"""fields of earlier versions -> the only value still supported, or None if any value is ignored"""


@dataclass(frozen=True)
class Checkpoint:
    """A model and the description stored in its directory."""

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
    """Write a model directory and return its path; existing files are replaced all at once.

    Args:
        directory: created if it is missing.
        model: a model of one of the `families`.
        mel_config: the model's mel config.
        provenance: data, licence, training time, machine; any JSON data.
        quality: measured scores; any JSON data.
        dtype: type of the floating-point weights on disk.
        card: text of README.md. Default: a short one.
        families: the known model families. Default: those of this package.
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
        weights.chmod(0o644)  # safetensors makes it readable by the owner alone, but containers run as other users
        config = {
            "format_version": FORMAT_VERSION,
            "family": family,
            "architecture": to_dict(model.config),
            "mel": to_dict(mel_config),
            "weights_sha256": file_sha256(weights),
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
    """Load a model directory, verifying the checksums of configuration and weights; weights become float32.

    A directory without checksums loads too, with a warning in the log. With `weights=False` the model has random
    weights, which is enough to describe it.

    Raises a CheckpointError if a file is missing or damaged, or if the weights do not fit the configuration.
    """
    directory = Path(directory)
    config, path, described = read_config(directory), directory / "model.safetensors", directory / "config.json"
    sha256 = config.get("weights_sha256")
    if config.get("config_sha256") is None or sha256 is None:
        logger.warning("%s has no checksums, so its files could not be checked for damage", directory)
    try:
        family = families[str(config["family"])]
        architecture = from_dict(family.config, _renamed(config["architecture"]), "architecture")
        _check_sizes(architecture, "architecture")
        mel_config = from_dict(MelConfig, config["mel"], "mel")
        for name in ("sample_rate", "hop_length", "n_mels"):
            ours, theirs = getattr(architecture, name, None), getattr(mel_config, name)
            if ours not in (None, theirs):
                raise CheckpointError(f"{described} has {name} {ours} in the model, {theirs} in the mel")
        tensors = _read_tensors(path, sha256, weights)
        with torch_defaults(), _Within(sum(tensor.numel() for tensor in tensors.values()) or MOST_NUMBERS, path):
            model = family.build(architecture)
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{described} does not describe a known model: {error}") from error
    if tensors:
        _load_weights(model if weights else copy.deepcopy(model).to("meta"), tensors, path)
    provenance, quality = config.get("provenance") or {}, config.get("quality") or {}
    if not isinstance(provenance, dict) or not isinstance(quality, dict):
        raise CheckpointError(f"provenance and quality must be objects in {described}")
    return Checkpoint(model.eval(), config["family"], mel_config, provenance, quality, sha256)


def _renamed(architecture: Any) -> Any:
    """Return an architecture with today's fields; a correction of version 0.1 became two, each over half the frames."""
    if not isinstance(architecture, Mapping):
        return architecture
    found = {
        name: _renamed(value)
        for name, value in architecture.items()
        if name not in RETIRED or RETIRED[name] not in (None, value)
    }
    steps = found.pop("consistency_steps", None)
    return found if steps is None else {"corrections": 2 * steps, **found}


class _Within(TorchFunctionMode):
    """Raises a CheckpointError before layers fill more memory than a model needs whose file has this many numbers.

    Building the model on the device "meta" would do the same, but that imports 100 MB of PyTorch's compiler.
    """

    def __init__(self, numbers: int, path: Path) -> None:
        super().__init__()
        self._left, self._path = 2 * numbers + SPARE, path

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.empty:  # the weights of layers, which are filled afterwards
            self._left -= made.numel()
            if self._left < 0:
                raise CheckpointError(f"{self._path} does not fit its config.json: it has far too few weights")
        return made


def read_config(directory: Path) -> dict[str, Any]:
    """Read config.json and verify its checksum; raises a CheckpointError as `load_model` does."""
    path = directory / "config.json"
    if not path.is_file():
        inner = directory / "last" / "model"
        hint = f"; did you mean {inner}?" if (inner / "config.json").is_file() else ""
        raise CheckpointError(f"{directory} is not a model directory: it has no config.json{hint}")
    try:
        config = json.loads(read_small(path, MAX_CONFIG_BYTES))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path} must be a JSON object with format_version {FORMAT_VERSION}")
    expected = config.get("config_sha256")
    if expected is not None and _config_sha256(config) != expected:
        remedy = "if you changed it on purpose, remove config_sha256"
        raise CheckpointError(f"{path} is damaged or was changed: its SHA-256 does not match config_sha256; {remedy}")
    return config


def _check_sizes(config: Any, where: str) -> None:
    """Raise a ConfigError if a number in a configuration is not finite or is absurdly large."""
    for name, value in vars(config).items():
        items = value if isinstance(value, tuple) else (value,)
        whole = any(type(item) is int for item in items)
        most = MOST.get(name, MOST_WHOLE if whole else MOST_OF_OTHERS)
        if len(items) > MOST_ITEMS:
            raise ConfigError(f"{where}.{name} has {len(items)} items; at most {MOST_ITEMS} are supported")
        for item in items:
            if dataclasses.is_dataclass(item):
                _check_sizes(item, f"{where}.{name}")
            elif isinstance(item, (int, float)) and not abs(item) <= most:
                raise ConfigError(f"{where}.{name} must be a number up to {most}, not {item}")


def _read_tensors(path: Path, sha256: str | None, weights: bool) -> dict[str, Tensor]:
    """Read a file's tensors as float32; without `weights` only their shapes, and nothing if the file is missing."""
    if not path.is_file():
        if weights:
            raise CheckpointError(f"{path} is missing")
        return {}
    if weights and sha256 is not None and file_sha256(path) != sha256:
        raise CheckpointError(f"{path} is damaged or of another model: its SHA-256 does not match config.json")
    try:
        if weights:
            return {name: x.float() if x.is_floating_point() else x for name, x in load_file(path).items()}
        with safe_open(path, "pt") as file:
            return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def _load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors, perhaps by their names in version 0.1: `upsampling` of `condition`, and `log_s` of `log_scale`."""
    known, named = model.state_dict().keys(), dict(tensors)
    for name in tensors.keys() - known:
        named[re.sub(r"\.log_s$", ".log_scale", re.sub(r"^upsampling\.", "condition.", name))] = named.pop(name)
    try:
        model.load_state_dict(named)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its config.json: {error}") from error


def _config_sha256(config: Mapping[str, Any]) -> str:
    """Return the checksum of a configuration's content, which does not depend on the layout of the file."""
    content = {name: value for name, value in config.items() if name != "config_sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
