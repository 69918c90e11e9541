"""What an importer returns, and how it reads names of tensors and settings."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from vocoder.checkpoint import CheckpointError
from vocoder.mel.config import MelConfig


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


def count(tensors: Iterable[str], prefix: str) -> int:
    """Return one more than the highest number below 1000 that follows `prefix` in the names, 0 if there is none."""
    heads = (name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix))
    return max((int(head) + 1 for head in heads if head.isdigit() and len(head) < 4), default=0)
