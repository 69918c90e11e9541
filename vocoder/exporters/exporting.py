"""From a model to a file that other runtimes read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import torch

from vocoder.exporters.program import ExportError, Traced, traced
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.synthesizer import Synthesizer

__all__ = ["FORMATS", "export_model", "write_onnx", "write_torch_program"]

OPSET = 20


def write_onnx(traced: Traced, file: Path) -> None:
    """Write inputs `z` and `mel`, output `x`, and what their users must know as metadata of the model.

    Raises:
        ExportError: the onnx packages are missing.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError("ONNX needs more packages: pip install 'flow-vocoder[export]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages, about themselves
        logging.getLogger("onnxscript").setLevel(logging.ERROR)
        program = torch.onnx.export(
            traced.program, (), opset_version=OPSET, output_names=["x"], dynamo=True, verbose=False
        )
    assert program is not None
    program.model.metadata_props.update(traced.about)
    program.save(str(file))


def write_torch_program(traced: Traced, file: Path) -> None:
    """Write what `torch.export.load` reads; what users must know lies in extra files of the same names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are views of others
        torch.export.save(traced.program, file, extra_files=traced.about)


FORMATS: MappingProxyType[str, Callable[[Traced, Path], None]] = MappingProxyType(
    {"onnx": write_onnx, "torch-export": write_torch_program}
)


def export_model(synthesizer: Synthesizer, form: str, file: Path) -> None:
    """Write a model as a program that takes noise z (B, C, steps) and a mel (B, n_mels, frames) of any length.

    Args:
        synthesizer: of a model that speaks in one parallel pass.
        form: a key of `FORMATS`.
        file: where it goes; its folder must be there.

    Raises:
        ExportError: the model cannot be written so.
        FileNotFoundError: there is no such folder.
    """
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {file.parent}")
    if form == "onnx" and any(isinstance(module, MinimumPhaseFilter) for module in synthesizer.model.modules()):
        raise ExportError(
            "ONNX has no exponential of complex numbers, which the minimum-phase filter of a student over samples "
            "needs: export it as torch-export"
        )
    FORMATS[form](traced(synthesizer), file)
