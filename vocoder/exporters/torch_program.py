"""Write a traced program for PyTorch alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from vocoder.exporters.program import Traced

__all__ = ["write_torch_program"]


def write_torch_program(traced: Traced, file: Path) -> None:
    """Write what `torch.export.load` reads; what users must know lies in extra files of the same names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are views of others
        torch.export.save(traced.program, file, extra_files=traced.about)
