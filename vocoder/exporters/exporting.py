"""From a model to a file that other runtimes read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from vocoder.exporters.onnx_file import write_onnx
from vocoder.exporters.program import ExportError, Traced, traced
from vocoder.exporters.torch_program import write_torch_program
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.synthesizer import Synthesizer

__all__ = ["FORMATS", "export_model"]

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
