"""Read another project's checkpoint: its named tensors, without wrappers and weight norm, and its settings."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vocoder.checkpoint import CheckpointError, file_sha256
from vocoder.importers.unpickling import Inert, read_pickled
from vocoder.mel.config import MelConfig

WRAPPERS = ("state_dict", "model", "model_state_dict", "generator")
STEPS = ("global_step", "iteration", "step", "steps")
_PREFIXES = re.compile(r"^(module\.)+")
MAX_DEPTH = 8  # of nested wrappers
NORMS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""names of magnitude and direction in `torch.nn.utils.weight_norm`, and in parametrizations"""


@dataclass(frozen=True)
class Weights:
    """Tensors of a checkpoint by name, in float32, without weight norm and without the prefix `module.`.

    `module` is the class of a pickled module, such as `glow.WaveGlow`, and `settings` holds the numbers and tuples of
    its submodules, such as `upsample.stride`.
    """

    tensors: Mapping[str, Tensor]
    source: str
    sha256: str
    module: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None


@dataclass(frozen=True)
class Imported:
    """A model of a known family with imported weights, its mel config, and notes for the user."""

    model: nn.Module
    mel_config: MelConfig
    notes: tuple[str, ...] = ()


def read_weights(path: Path) -> Weights:
    """Read a checkpoint of `torch.save` (a pickled module or a state_dict, however nested) or of safetensors.

    Raises a CheckpointError if it is neither, holds no tensors, or would run code.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        holder, wrapped = _unwrapped(load_file(path) if path.suffix == ".safetensors" else read_pickled(path), path)
        module = _innermost(wrapped).qualified_name if isinstance(wrapped, Inert) else None
        found = dict(_contents(wrapped, "") if isinstance(wrapped, Inert) else wrapped)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
    except RecursionError:
        raise CheckpointError(f"{path} holds modules nested deeper than in any model") from None
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    bare = {_PREFIXES.sub("", name): value for name, value in tensors.items()}
    if len(bare) != len(tensors):
        raise CheckpointError(f"{path} holds the same tensor with and without the prefix 'module.'")
    settings = {_PREFIXES.sub("", str(name)): value for name, value in found.items() if not isinstance(value, Tensor)}
    step = next((holder[name] for name in STEPS if isinstance(holder, Mapping) and type(holder.get(name)) is int), None)
    return Weights(_without_norms(bare), path.name, file_sha256(path), module, settings, step)


def mel_config_of(base: MelConfig, settings: Mapping[str, Any], names: Mapping[str, str], **known: float) -> MelConfig:
    """Return a preset changed by a project's settings, mapped from field to setting by `names`, and by `known`."""
    changes = {field: setting(settings, name, getattr(base, field)) for field, name in names.items()}
    config = dataclasses.replace(base, **{**changes, **known})
    return config if config == base else dataclasses.replace(config, name=f"{base.name}-variant")


def setting(config: Mapping[str, Any] | None, name: str, default: Any) -> Any:
    """Return a setting of a project's configuration; raise a CheckpointError if its type is not the default's."""
    value = default if config is None or config.get(name) is None else config[name]
    value = float(value) if type(default) is float and type(value) is int else value
    if type(value) is not type(default):
        raise CheckpointError(f"{name} in the configuration must be a {type(default).__name__}, not {value!r}")
    return value


def count(tensors: Iterable[str], prefix: str) -> int:
    """Return one more than the highest number below 1000 that follows `prefix` in the names, or 0."""
    heads = (name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix))
    return max((int(head) + 1 for head in heads if head.isdigit() and len(head) < 4), default=0)


def _unwrapped(root: Any, path: Path) -> tuple[Any, Any]:
    """Return the weights, an inert module or a mapping with tensors, preceded by their container.

    Wrappers are searched first, since some projects store random states, which are tensors too, beside the weights.
    """
    holder = root
    for _ in range(MAX_DEPTH):
        if _is_module(root):
            return holder, root
        if not isinstance(root, Mapping):
            raise CheckpointError(f"{path} holds neither a module nor named tensors, but a {type(root).__name__}")
        if inner := [root[name] for name in WRAPPERS if _is_module(root.get(name)) or _mapping(root.get(name))]:
            holder, root = root, inner[0]
        elif any(isinstance(value, Tensor) for value in root.values()):
            return holder, root
        else:
            known = ", ".join(map(str, root)) or "nothing"
            raise CheckpointError(f"{path} holds {known}, but no weights under {', '.join(WRAPPERS)}")
    raise CheckpointError(f"{path} nests its weights more than {MAX_DEPTH} levels deep")


def _is_module(value: Any) -> bool:
    return isinstance(value, Inert) and "_parameters" in value.state


def _innermost(module: Inert) -> Inert:
    inner = _mapping(module.state.get("_modules"))
    wrapped = inner.get("module")
    return _innermost(wrapped) if isinstance(wrapped, Inert) and len(inner) == 1 else module


def _contents(module: Inert, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the `state_dict` items of a module, and the numbers and tuples that it was built from."""
    for name, value in module.state.items():
        if isinstance(value, (int, float)) or (isinstance(value, tuple) and all(isinstance(v, int) for v in value)):
            yield f"{prefix}{name}", value
    for part in ("_parameters", "_buffers"):
        for name, value in _mapping(module.state.get(part)).items():
            yield f"{prefix}{name}", value
    for name, child in _mapping(module.state.get("_modules")).items():
        if isinstance(child, Inert):
            yield from _contents(child, f"{prefix}{name}.")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _without_norms(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all tensors in float32, normalised weights as g v / norm(v), the norm over all but the first axis."""
    plain = dict(tensors)
    for ends in NORMS:
        for stem in sorted({name.removesuffix(end) for name in tensors for end in ends if name.endswith(end)}):
            g, v = (plain.pop(f"{stem}{end}", None) for end in ends)
            if g is None or v is None:
                raise CheckpointError(f"weight norm of {stem}weight lacks {stem}{ends[0] if g is None else ends[1]}")
            if f"{stem}weight" in plain:
                raise CheckpointError(f"{stem}weight occurs both plain and normalised")
            if v.ndim < 2 or g.numel() != len(v):
                raise CheckpointError(f"{stem}weight has {g.numel()} magnitudes for directions {tuple(v.shape)}")
            rows = v.double().flatten(1)
            scale = g.double().reshape(-1, 1) / rows.norm(dim=1, keepdim=True)
            plain[f"{stem}weight"] = (rows * scale).reshape(v.shape).float()
    return {name: value.float() if value.is_floating_point() else value for name, value in plain.items()}
