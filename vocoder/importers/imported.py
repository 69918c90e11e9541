"""What an importer is given and what it returns, and the checks that importers share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vocoder.checkpoint import CheckpointError
from vocoder.importers.weights import Weights
from vocoder.mel.config import MelConfig


@dataclass(frozen=True)
class Request:
    """A foreign checkpoint and what the user says about it.

    Attributes:
        weights: of the checkpoint.
        config: the settings file of the foreign project, if there is one.
        statistics: mean and variance of each mel bin, for models that take normalised mels.
    """

    weights: Weights
    config: Mapping[str, Any] | None = None
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None


@dataclass(frozen=True)
class Imported:
    """A model of a known family with foreign weights, the mels that it takes, and what the user should know."""

    model: nn.Module
    mel_config: MelConfig
    notes: tuple[str, ...] = ()


def mel_config_of(base: MelConfig, settings: Mapping[str, Any], names: Mapping[str, str], **known: float) -> MelConfig:
    """Return a preset with settings of a foreign configuration, by field of `MelConfig`, and with `known` values."""
    said = {field: setting(settings, name, getattr(base, field)) for field, name in names.items()}
    made = dataclasses.replace(base, **{**said, **known})
    return made if made == base else dataclasses.replace(made, name=f"{base.name}-variant")


def setting(config: Mapping[str, Any] | None, name: str, default: Any) -> Any:
    """Return a setting of a foreign configuration; raise a CheckpointError if it is not of the kind of its default."""
    value = default if config is None or config.get(name) is None else config[name]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = number if isinstance(default, float) else isinstance(value, type(default))
    if not fits or (isinstance(default, int) and not isinstance(default, bool) and isinstance(value, bool)):
        raise CheckpointError(f"{name} of the configuration must be a {type(default).__name__}, not {value!r}")
    return float(value) if isinstance(default, float) else value


def check_agreement(
    said: Mapping[str, Any] | None, found: Mapping[str, Any], origin: str = "the configuration"
) -> None:
    """Raise a CheckpointError if a project's settings contradict what the tensors show; null agrees with anything."""
    for name, value in found.items():
        other = value if said is None or said.get(name) is None else said[name]
        if other != value:
            raise CheckpointError(f"{name} is {other!r} in {origin}, but {value!r} in the weights")


def check_keys(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], layout: str) -> None:
    """Raise a CheckpointError that lists every tensor that is missing, unknown or of another shape."""
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
        if names
    ]
    if problems:
        raise CheckpointError(f"the weights do not fit the layout {layout}; {'; '.join(problems)}")


def count(tensors: Iterable[str], prefix: str) -> int:
    """Return one more than the highest number below 1000 that follows `prefix` in the names, 0 if there is none."""
    heads = (name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix))
    return max((int(head) + 1 for head in heads if head.isdigit() and len(head) < 4), default=0)
