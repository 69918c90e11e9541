"""Write a traced program as an ONNX model."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch

from vocoder.exporters.program import ExportError, Traced

__all__ = ["write_onnx"]

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
