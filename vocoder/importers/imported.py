"""What an importer is given and what it returns, and the checks that importers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
        config: the settings file of the foreign project; None where there is none.
        speaker: which voice of a multi-speaker model becomes the imported one.
        statistics: mean and variance of each mel bin, for models that take normalised mels.
    """

    weights: Weights
    config: Mapping[str, Any] | None = None
    speaker: int | None = None
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None


@dataclass(frozen=True)
class Imported:
    """A model of ours with the weights of a foreign one.

    Attributes:
        model: of a known family.
        mel_config: the mels that it takes.
        notes: what the user should know, such as tensors that the original never uses.
    """

    model: nn.Module
    mel_config: MelConfig
    notes: tuple[str, ...] = field(default=())


def setting(config: Mapping[str, Any] | None, name: str, default: Any) -> Any:
    """Return a setting of a foreign configuration, which must be of the kind of its default.

    Raises:
        CheckpointError: it is of another kind.
    """
    value = default if config is None or config.get(name) is None else config[name]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = number if isinstance(default, float) else isinstance(value, type(default))
    if not fits or (isinstance(default, int) and not isinstance(default, bool) and isinstance(value, bool)):
        raise CheckpointError(f"{name} of the configuration must be a {type(default).__name__}, not {value!r}")
    return float(value) if isinstance(default, float) else value


def check_agreement(
    said: Mapping[str, Any] | None, found: Mapping[str, Any], origin: str = "the configuration"
) -> None:
    """Compare what a project's settings say with what the tensors show; what is not said, or is null, agrees.

    Args:
        said: settings by name.
        found: the same names, read from the tensors.
        origin: who says it, for the error text.

    Raises:
        CheckpointError: they differ; the text has both values.
    """
    for name, value in found.items():
        other = value if said is None or said.get(name) is None else said[name]
        if other != value:
            raise CheckpointError(f"{name} is {other!r} in {origin}, but {value!r} in the weights")


def check_keys(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], layout: str) -> None:
    """Raise if a tensor is missing, unknown or of another shape; the text lists every one.

    Raises:
        CheckpointError: as said.
    """
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
