"""Load a model by name, directory or Hugging Face repository."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from vocoder.checkpoint import load_model
from vocoder.directories import model_directory as model_directory
from vocoder.directories import model_name
from vocoder.directories import shipped_models as shipped_models
from vocoder.kernels.launcher import kernel
from vocoder.layers.product import multiplies_quads
from vocoder.memory import keep_freed_memory
from vocoder.models.families import FAMILIES
from vocoder.sampling import Device, GuardMode
from vocoder.synthesis.synthesizer import Synthesizer

DEFAULT_MODEL = "reverse"
"""the shipped model used by default: the fastest of those that sound best"""


class DeviceError(ValueError):
    """A device does not exist or PyTorch cannot use it; the message says why."""


def load(
    model: str | Path = DEFAULT_MODEL,
    device: Device = "cpu",
    dtype: torch.dtype | str | None = None,
    *,
    guard: GuardMode = "warn",
) -> Synthesizer:
    """Load a model.

    Args:
        model: the name of a shipped model, a model directory, or a Hugging Face repository id such as `me/voice`
            or `me/voice@revision`.
        device: "cpu", "cuda", ...
        dtype: precision of most products, or its name, such as "bfloat16". Default: the model's `own_dtype`.
        guard: default for the `guard` argument of `Synthesizer.synthesize`.

    On a CPU the process keeps up to 256 MiB of freed memory for the next run; see `keep_freed_memory`.

    Raises:
        CheckpointError: the model does not exist, its files are damaged, or it cannot synthesize.
        DeviceError: the device cannot be used, or has no products of this dtype for this model.
        ValueError: the guard mode is unknown.
        TypeError: the model is no path, or dtype is neither torch.int8 nor a floating-point dtype.
    """
    if not isinstance(model, (str, PathLike)):
        raise TypeError(f"model must be a name, a directory or a repository id, not {model!r}")
    dtype = getattr(torch, dtype, dtype) if isinstance(dtype, str) else dtype
    if dtype not in (None, torch.int8) and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype must be torch.int8 or a floating-point dtype such as torch.float32, not {dtype!r}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # PyTorch has no single error for this
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        reason = "PyTorch knows no such device" if "Expected one of" in reason else reason
        raise DeviceError(f"device {str(device)!r} cannot be used: {reason}; try cpu, cuda or cuda:N") from error
    device, directory = torch.device(device), model_directory(model)
    if device.type == "cpu":
        keep_freed_memory()
    checkpoint = load_model(directory)
    if dtype == torch.int8 and not multiplies_integers(checkpoint.family, device):
        able = ", ".join(name for name, family in FAMILIES.items() if family.integers)
        needed = f"int8 needs a model of the family {able}, a CPU with AVX-512 VNNI, and numba"
        advice = "leave dtype out (auto), or choose bfloat16 or float32"
        raise DeviceError(f"{needed}; {model} is a {checkpoint.family} on {device}, so {advice}")
    dtype = own_dtype(checkpoint.family, checkpoint.provenance, device) if dtype is None else dtype
    return Synthesizer(checkpoint, model_name(model), device, dtype, guard)


def describe(model: str | Path) -> dict[str, Any]:
    """Return `Synthesizer.info` of a model on a CPU, without reading its weights; raises the errors of `load`."""
    checkpoint = load_model(model_directory(model), weights=False)
    dtype = own_dtype(checkpoint.family, checkpoint.provenance, "cpu")
    return Synthesizer(checkpoint, model_name(model), "cpu", dtype).info()


def own_dtype(family: str, provenance: Mapping[str, Any], device: Device) -> torch.dtype:
    """Return a model's default precision: float32 for imported models, as trained, else the fastest on the device.

    That is int8 for families that have it, on CPUs that multiply it, and `default_dtype(device)` otherwise.
    """
    if "imported" in provenance:
        return torch.float32
    return torch.int8 if multiplies_integers(family, device) else default_dtype(device)


def multiplies_integers(family: str, device: Device) -> bool:
    """Return whether models of a family have products of 8-bit integers, and compiled code for them runs here."""
    able = family in FAMILIES and FAMILIES[family].integers and torch.device(device).type == "cpu"
    return able and multiplies_quads() and kernel("quads", "block") is not None


def default_dtype(device: Device) -> torch.dtype:
    """Return bfloat16 if the device multiplies it in hardware, else float32."""
    kind = torch.device(device).type
    fast = kind == "cpu" and torch.cpu._is_avx512_bf16_supported()
    fast = fast or (kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.bfloat16 if fast else torch.float32
