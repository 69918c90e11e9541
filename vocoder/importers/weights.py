"""The named tensors of a foreign checkpoint, whatever they were wrapped in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vocoder.checkpoint import CheckpointError
from vocoder.importers.stand_ins import Inert
from vocoder.importers.unpickling import read_pickled
from vocoder.importers.weight_norm import folded

WRAPPERS = ("state_dict", "model", "model_state_dict", "generator")
PREFIX = "module."
MAX_DEPTH = 8  # of wrappers in wrappers


@dataclass(frozen=True)
class Weights:
    """Tensors of a foreign checkpoint by name, in float32, without weight norm and without `module.` in front.

    `module` is the class of a pickled module, such as `glow.WaveGlow`, and `settings` the numbers and tuples of its
    parts, such as `upsample.stride`. `step` is that of training.
    """

    tensors: Mapping[str, Tensor]
    source: str
    sha256: str
    module: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None


def read_weights(path: Path) -> Weights:
    """Read a checkpoint of `torch.save` (a pickled module or a state_dict, however nested) or of safetensors.

    Raises a CheckpointError if it is neither, holds no tensors, or asks for code to be run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    root = _read_safetensors(path) if path.suffix == ".safetensors" else read_pickled(path)
    holder, wrapped = _unwrapped(root, path)
    module, settings = None, dict[str, Any]()
    if isinstance(wrapped, Inert):
        try:
            module = _innermost(wrapped).qualified_name
            found = dict(_contents(wrapped, ""))
        except RecursionError:
            raise CheckpointError(f"{path} holds modules within modules, deeper than any model has them") from None
        settings = {_bare(name): value for name, value in found.items() if not isinstance(value, Tensor)}
    else:
        found = {str(name): value for name, value in wrapped.items()}
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    bare = {_bare(name): value for name, value in tensors.items()}
    if len(bare) != len(tensors):
        raise CheckpointError(f"{path} holds the same tensor with and without {PREFIX!r} in front")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Weights(folded(bare), path.name, sha256, module, settings, _step(holder))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file: {error}") from error
    return tensors


def _unwrapped(root: Any, path: Path) -> tuple[Any, Any]:
    """Return what holds the weights, and the weights: an inert module or a mapping with tensors.

    Wrappers are looked into first: some projects keep random states, which are tensors as well, beside the weights.
    """
    holder = root
    for _ in range(MAX_DEPTH):
        if _is_module(root):
            return holder, root
        if not isinstance(root, Mapping):
            raise CheckpointError(f"{path} holds neither a module nor named tensors, but a {type(root).__name__}")
        inner = [root[name] for name in WRAPPERS if _is_module(root.get(name)) or _mapping(root.get(name))]
        if inner:
            holder, root = root, inner[0]
        elif any(isinstance(value, Tensor) for value in root.values()):
            return holder, root
        else:
            known = ", ".join(map(str, root)) or "nothing"
            raise CheckpointError(f"{path} holds {known}, but no weights under {', '.join(WRAPPERS)}")
    raise CheckpointError(f"{path} holds wrappers in wrappers, more than {MAX_DEPTH} deep")


def _is_module(value: Any) -> bool:
    return isinstance(value, Inert) and "_parameters" in value.state


def _innermost(module: Inert) -> Inert:
    inner = module.state.get("_modules", {})
    wrapped = inner.get("module") if isinstance(inner, Mapping) else None
    return _innermost(wrapped) if isinstance(wrapped, Inert) and len(inner) == 1 else module


def _contents(module: Inert, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield what `state_dict` of a module would hold, and the numbers and tuples that it was built from."""
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


def _bare(name: str) -> str:
    while name.startswith(PREFIX):
        name = name.removeprefix(PREFIX)
    return name


def _step(holder: Any) -> int | None:
    values = [_mapping(holder).get(name) for name in ("global_step", "iteration", "step", "steps")]
    return next((value for value in values if type(value) is int), None)
