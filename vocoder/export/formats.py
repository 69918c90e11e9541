"""From a model to a file that other runtimes read."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from vocoder.export.smaller import Weights, store_weights
from vocoder.export.traced import ExportError, Traced, silent_libraries, traced, traced_for_sherpa
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.synthesis.synthesizer import Synthesizer

OPSET = 20
SHERPA = "sherpa-onnx"
ONNX_FORMATS = ("onnx", SHERPA)


@silent_libraries()
def write_onnx(traced: Traced, file: Path) -> None:
    """Write a program as an ONNX file, with what its users must know as metadata of the model."""
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError("ONNX needs more packages: pip install '.[export]'") from error
    plain = traced.program.run_decompositions({torch.ops.aten.silu.default: _silu})
    program = torch.onnx.export(plain, (), opset_version=OPSET, output_names=traced.outputs, dynamo=True, verbose=False)
    assert program is not None
    program.model.metadata_props.update(traced.about)
    program.save(str(file))


def _silu(x: Tensor) -> Tensor:
    """Return x * sigmoid(x), in operations that no runtime makes one of: some of those know no float64."""
    return x / (1.0 + torch.exp(-x))


@silent_libraries()
def write_torch_program(traced: Traced, file: Path) -> None:
    """Write what `torch.export.load` reads; what users must know lies in extra files of the same names."""
    torch.export.save(traced.program, file, extra_files=traced.about)


FORMATS: MappingProxyType[str, Callable[[Traced, Path], None]] = MappingProxyType(
    {"onnx": write_onnx, SHERPA: write_onnx, "torch-export": write_torch_program}
)


def export_model(
    synthesizer: Synthesizer,
    form: str,
    file: Path,
    *,
    corrections: int | None = None,
    sharpen: float | None = None,
    sigma: float | None = None,
    weights: Weights = "float32",
    progress: Callable[[str], object] = lambda step: None,
) -> tuple[str, ...]:
    """Write a model as a program that takes noise z (B, C, steps) and a mel (B, n_mels, frames) of any length.

    A program for sherpa-onnx takes the mel alone.

    Args:
        synthesizer: of a model that generates in one parallel pass.
        form: a key of `FORMATS`.
        file: where it goes, once it is complete; its folder must be there.
        corrections: how often the program corrects its audio towards the mel; the model's own number if left out.
        sharpen: how far the program raises the contrast of mels; as far as they lack texture if left out.
        sigma: temperature of the noise inside a program for sherpa-onnx; the model's own if left out.
        weights: their type in an ONNX file; see `store_weights`.
        progress: called with what is done next, since each step can take minutes.

    Returns the names of the program's outputs. Raises an ExportError if the model cannot be written so, a
    FileNotFoundError or a ValueError for an argument.
    """
    _check(synthesizer, form, file, sigma, weights)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder, silent_libraries():
        made = Path(folder, file.name)  # only what is complete gets the final name
        progress(f"tracing {synthesizer.name}")
        if form == SHERPA:
            program = traced_for_sherpa(synthesizer, corrections, sharpen, sigma)
        else:
            program = traced(synthesizer, corrections, sharpen, products=form == "onnx")
        progress(f"writing {form}")
        FORMATS[form](program, made)
        if weights != "float32":
            progress(f"storing weights in {weights}")
        store_weights(made, weights, program.program.graph_signature.buffers)
        made.replace(file)
    return program.outputs


def _check(synthesizer: Synthesizer, form: str, file: Path, sigma: float | None, weights: Weights) -> None:
    if sigma is not None and form != SHERPA:
        raise ExportError(f"a program in the format {form} takes its noise as an input: multiply that by sigma")
    if weights != "float32" and form not in ONNX_FORMATS:
        raise ExportError(f"weights in {weights} are for ONNX files; leave it out")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {file.parent}")
    if form in ONNX_FORMATS and any(isinstance(module, MinimumPhaseFilter) for module in synthesizer.model.modules()):
        raise ExportError(
            "ONNX has no exponential of complex numbers, which the minimum-phase filter of a student over samples "
            "needs: export it as torch-export"
        )
