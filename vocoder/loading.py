"""Find a model by name, directory or Hugging Face repository, and make it ready."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.memory import keep_freed_memory
from vocoder.models.base import Vocoder
from vocoder.sampling import GuardMode
from vocoder.synthesis.synthesizer import Synthesizer

DEFAULT_MODEL = "reverse"
"""the shipped model that synthesizes where none is named: the fastest of those that sound best"""
ASSETS = Path(__file__).parent / "assets"
GUARDS = ("guard", "guard-100")  # ship beside them, and synthesize nothing
MODEL_FILES = ["config.json", "model.safetensors", "README.md"]


class DeviceError(ValueError):
    """There is no such device, or PyTorch cannot use it; the text says which and why."""


def load(
    model: str | Path = DEFAULT_MODEL,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    guard: GuardMode = "warn",
) -> Synthesizer:
    """Load a model.

    Args:
        model: the name of a shipped model, a model directory, or a Hugging Face repository id such as `me/voice`
            or `me/voice@revision`.
        device: "cpu", "cuda", ...
        dtype: of the convolution stacks; if left out, `own_dtype` of the model.
        guard: what becomes of mels that are not typical of the model's mel config, where a call does not say; see
            `Synthesizer.synthesize`.

    On a CPU the process keeps up to 256 MiB of freed memory for the next run; see `keep_freed_memory`.

    Raises:
        CheckpointError: there is no such model, or its files are damaged.
        DeviceError: the device cannot be used.
        ValueError: there is no such mode of the guard.
        TypeError: dtype is none of torch's.
    """
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be one of torch's, such as torch.float32 or torch.bfloat16, not {dtype!r}")
    device, directory = _usable_device(device), model_directory(model)
    if device.type == "cpu":
        keep_freed_memory()
    checkpoint = load_model(directory)
    dtype = own_dtype(checkpoint.provenance, device) if dtype is None else dtype
    return Synthesizer(checkpoint, _name(model), device, dtype, guard)


def describe(model: str | Path) -> dict[str, Any]:
    """Return what `Synthesizer.info` says of a model on a CPU, without reading its weights; raises as `load`."""
    checkpoint = load_model(model_directory(model), weights=False)
    if not isinstance(checkpoint.model, Vocoder):
        raise CheckpointError(f"{model} holds a {checkpoint.family}, which cannot synthesize")
    return Synthesizer(checkpoint, _name(model), "cpu", own_dtype(checkpoint.provenance, "cpu")).info()


def _name(model: str | Path) -> str:
    """Return what to call a model: what was asked for, or the name of a shipped one whose directory was."""
    return Path(model).name if Path(model).parent == ASSETS else str(model)


def own_dtype(provenance: Mapping[str, Any], device: str | torch.device) -> torch.dtype:
    """Return what a model multiplies in: `default_dtype(device)`, but float32 if it was imported, as the original."""
    return torch.float32 if "imported" in provenance else default_dtype(device)


def default_dtype(device: str | torch.device) -> torch.dtype:
    """Return bfloat16 where the device has instructions for products of it, float32 elsewhere."""
    kind = torch.device(device).type
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = kind == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def shipped_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.parent.name for path in ASSETS.glob("*/config.json") if path.parent.name not in GUARDS)


def model_directory(model: str | Path) -> Path:
    """Return the directory of a model, downloading a Hugging Face repository if the name is of one.

    Raises a CheckpointError if there is no such model.
    """
    if str(model) in shipped_models():
        return ASSETS / str(model)
    if Path(model).is_dir():
        return Path(model)
    if str(model).count("/") == 1 and not Path(model).parent.is_dir():
        return download(str(model))
    names = shipped_models()
    meant = "".join(f"; did you mean {name}?" for name in get_close_matches(str(model), names, n=1)) or ":"
    raise CheckpointError(
        f"there is no model {str(model)!r}{meant} give a directory, or one of the shipped names {', '.join(names)}"
    )


def _usable_device(name: str | torch.device) -> torch.device:
    """Return a device that holds tensors; raises a DeviceError if it cannot."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # PyTorch has no one error for this
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DeviceError(f"device {str(name)!r} cannot be used: {reason}") from error
    return device


def download(repository: str) -> Path:
    """Return the directory of a repository's files, fetched or from the cache.

    The repository is an id such as `me/voice`, or `me/voice@revision` with a branch, a tag or a commit. Raises a
    CheckpointError if there is none, it cannot be reached, or huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise CheckpointError(f"to load {repository!r} from the Hugging Face hub, install huggingface_hub") from error
    name, _, revision = repository.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=MODEL_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"cannot load {repository!r} from the Hugging Face hub: {error}") from error
