"""ONNX files with smaller weights: in float16, or the matrices in 8-bit integers."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from vocoder.export.traced import ExportError, silent_libraries

Weights = Literal["float32", "float16", "int8"]
WEIGHTS: tuple[Weights, ...] = get_args(Weights)
LEAST_VALUES = 1024
"""values below which a tensor is left as it is: nothing would be gained"""
CORRECTION = "correction"
"""part of the names of what corrects audio towards its mel, whose matrices must stay exact"""
CONSTANT = "lifted_tensor"
"""part of the names of constants of a program, such as the matrices of a Fourier transform"""


def store_weights(file: Path, weights: Weights, exact: Collection[str] = ()) -> None:
    """Rewrite an ONNX file with its weights in another type; inputs, outputs and the rest of the arithmetic stay.

    float16 is only how weights are stored: a runtime widens them when it loads the file. Where most of them are numbers
    of 16 bits already, as published, the others are left, and the program is as exact as before. int8 computes products
    of matrices in 8-bit integers, with a scale for each column of the weights and one for each run of the activations;
    the rest is float16. The correction, and the tensors named by `exact`, stay as they are.
    """
    if weights == "float32":
        return
    try:
        import onnx
    except ImportError as error:
        raise ExportError("ONNX needs more packages: pip install '.[export]'") from error
    if weights == "int8":
        _quantise(file, exact)
    model = onnx.load(str(file))
    _halve(model.graph, exact)
    onnx.save(model, str(file))


def _halve(graph: Any, exact: Collection[str]) -> None:
    """Store the large tensors of a graph in float16, each with a node that widens it."""
    from onnx import TensorProto, helper, numpy_helper

    large = {tensor.name: tensor for tensor in graph.initializer if _is_large(tensor, exact)}
    values = {name: numpy_helper.to_array(tensor) for name, tensor in large.items()}
    lossless = {name for name, value in values.items() if np.array_equal(value.astype(np.float16), value)}
    if sum(values[name].size for name in lossless) > sum(value.size for value in values.values()) / 2:
        large = {
            name: large[name] for name in large if name in lossless
        }  # the rest was computed from weights of 16 bits
    widened = []
    for name, tensor in large.items():
        tensor.CopyFrom(numpy_helper.from_array(values[name].astype(np.float16), f"{name}.float16"))
        widened.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.widened", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*widened, *nodes])


def _is_large(tensor: Any, exact: Collection[str]) -> bool:
    """Whether a tensor is worth storing in float16, and may be."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT or _is_exact(tensor.name, exact):
        return False
    values = numpy_helper.to_array(tensor)
    return bool(values.size >= LEAST_VALUES and np.abs(values).max() <= np.finfo(np.float16).max)


def _quantise(file: Path, exact: Collection[str]) -> None:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ExportError("int8 needs more packages: pip install '.[export]'") from error
    import onnx

    kept = [node.name for node in onnx.load(str(file)).graph.node if _must_be_exact(node, exact)]
    with silent_libraries():  # the quantiser warns that float64 stays as it is
        quantize_dynamic(
            str(file),
            str(file),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
        )


def _must_be_exact(node: Any, exact: Collection[str]) -> bool:
    """Whether a node belongs to the correction, which would otherwise correct towards the wrong mel, or is no layer."""
    scopes = [entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
    return any(CORRECTION in scope for scope in scopes) or any(_is_exact(name, exact) for name in node.input)


def _is_exact(name: str, exact: Collection[str]) -> bool:
    return CORRECTION in name or CONSTANT in name or name in exact
