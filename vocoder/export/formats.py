"""Export a model to a file for other runtimes, with weights in float32, float16 or 8-bit integers."""

import io
import math
import tempfile
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from vocoder.export.traced import ExportError, Traced, program_of, silent_libraries, traced, traced_for_sherpa
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.synthesis.synthesizer import Synthesizer

OPSET = 20
SHERPA = "sherpa-onnx"
ONNX_FORMATS = ("onnx", SHERPA)
Weights = Literal["float32", "float16", "int8"]
WEIGHTS: tuple[Weights, ...] = get_args(Weights)
LEAST_VALUES = 1024  # fewest values of a tensor that is worth converting
CORRECTION = "correction"  # found in the names of the correction's nodes and tensors, which must stay exact
CONSTANT = "lifted_tensor"  # found in the names of a program's constants, such as the matrices of a Fourier transform


@silent_libraries()
def write_onnx(traced: Traced, file: Path) -> None:
    """Write a program as an ONNX file, with the facts that its users need as metadata of the model."""
    # Runtimes do not fuse these operations: some fused ones lack float64.
    plain = traced.program.run_decompositions({torch.ops.aten.silu.default: lambda x: x / (1.0 + torch.exp(-x))})
    program = torch.onnx.export(plain, (), opset_version=OPSET, output_names=traced.outputs, dynamo=True, verbose=False)
    assert program is not None
    program.model.metadata_props.update(traced.about)
    program.save(str(file))


@silent_libraries()
def write_torch_program(traced: Traced, file: Path) -> None:
    """Write a program for `torch.export.load`, with the facts that its users need as extra files."""
    content = io.BytesIO()  # on a full disk, torch's own writer of files ends the process
    torch.export.save(traced.program, content, extra_files=traced.about)
    file.write_bytes(content.getbuffer())


Writer = Callable[[Traced, Path], None]
FORMATS: Mapping[str, Writer] = {"onnx": write_onnx, SHERPA: write_onnx, "torch-export": write_torch_program}


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
        synthesizer: the model, which must generate in one parallel pass.
        form: a key of `FORMATS`.
        file: the file to write; its folder must exist.
        corrections: number of corrections of the audio towards the mel. Default: the model's own.
        sharpen: how far to raise the contrast of mels. Default: as far as they lack texture.
        sigma: temperature of the noise inside a program for sherpa-onnx. Default: the model's own.
        weights: type of the weights in an ONNX file; see `store_weights`.
        progress: called with the name of each step, which can take minutes.

    Returns the names of the program's outputs. Raises an ExportError if the model cannot be exported in this form, and
    a FileNotFoundError or a ValueError if an argument is wrong.
    """
    _check(synthesizer, form, file, sigma, weights)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder, silent_libraries():
        made = Path(folder, file.name)  # moved to `file` when it is complete
        progress(f"tracing {synthesizer.name}")
        program = program_of(synthesizer, corrections, sharpen, products=form in ONNX_FORMATS)
        graph = traced_for_sherpa(synthesizer, program, sigma) if form == SHERPA else traced(synthesizer, program)
        progress(f"writing {form}")
        FORMATS[form](graph, made)
        if weights != "float32":
            progress(f"storing weights in {weights}")
        store_weights(made, weights, graph.program.graph_signature.buffers)
        made.replace(file)
    return graph.outputs


def _check(synthesizer: Synthesizer, form: str, file: Path, sigma: float | None, weights: Weights) -> None:
    if sigma is not None and form != SHERPA:
        raise ExportError(f"a program in the format {form} takes noise as an input: scale that instead of giving sigma")
    if weights != "float32" and form not in ONNX_FORMATS:
        raise ExportError(f"{weights} weights need an ONNX format, not {form}")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {file.parent}")
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder: give the name of a file")
    packages = ("onnxscript", "onnxruntime") if weights == "int8" else ("onnxscript",)
    if form in ONNX_FORMATS and None in map(find_spec, packages):
        raise ExportError("ONNX export needs more packages: pip install '.[export]'")
    if form in ONNX_FORMATS and any(isinstance(module, MinimumPhaseFilter) for module in synthesizer.model.modules()):
        raise ExportError("ONNX lacks the complex exponential of a minimum-phase filter: export it as torch-export")


def store_weights(file: Path, weights: Weights, exact: Collection[str] = ()) -> None:
    """Rewrite an ONNX file with its weights in another type; inputs, outputs and other operations stay the same.

    float16 affects only storage: runtimes widen the weights on loading. If most weights fit 16 bits without loss, as in
    published models, the others are left unchanged, and so are the results. int8 computes matrix products in 8-bit
    integers, with a scale per column of the weights and one per run for the activations; other weights become float16.
    The correction, and the tensors named in `exact`, are left unchanged.
    """
    if weights == "float32":
        return
    import onnx

    if weights == "int8":
        _quantise(file, exact)
    model = onnx.load(str(file))
    _halve(model.graph, exact)
    onnx.save(model, str(file))


def _halve(graph: Any, exact: Collection[str]) -> None:
    """Store the large tensors of a graph in float16, each with a node that widens it."""
    from onnx import TensorProto, helper, numpy_helper

    floats = [x for x in graph.initializer if x.data_type == TensorProto.FLOAT and not _is_exact(x.name, exact)]
    large = {x.name: x for x in floats if math.prod(x.dims) >= LEAST_VALUES}  # worth storing in float16
    values = {name: numpy_helper.to_array(tensor) for name, tensor in large.items()}
    values = {name: value for name, value in values.items() if np.abs(value).max() <= np.finfo(np.float16).max}
    lossless = {name for name, value in values.items() if np.array_equal(value.astype(np.float16), value)}
    if sum(values[name].size for name in lossless) > sum(value.size for value in values.values()) / 2:
        values = {name: values[name] for name in values if name in lossless}  # the rest is derived from 16-bit weights
    for name, value in values.items():
        large[name].CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}.float16"))
        cast = helper.make_node("Cast", [f"{name}.float16"], [name], f"{name}.widened", to=TensorProto.FLOAT)
        graph.node.insert(0, cast)


def _quantise(file: Path, exact: Collection[str]) -> None:
    """Quantise products, but not those of constants, nor in the correction, which would aim at a wrong mel."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    kept = []
    for node in onnx.load(str(file)).graph.node:
        scopes = [entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
        kept += [node.name] if any(_is_exact(name, exact) for name in (*scopes, *node.input)) else []
    with silent_libraries():  # the quantiser warns that it leaves float64 alone
        quantize_dynamic(str(file), str(file), op_types_to_quantize=["MatMul"], per_channel=True, nodes_to_exclude=kept)


def _is_exact(name: str, exact: Collection[str]) -> bool:
    return CORRECTION in name or CONSTANT in name or name in exact
