import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save

from vocoder.export.smaller import store_weights

SIZE = 64
GENERATOR = np.random.default_rng(6)
X = GENERATOR.standard_normal((1, 8, SIZE)).astype(np.float32)
NAMES = ("layer", "correction.spread", "basis")


@pytest.fixture
def file(tmp_path):
    """A layer, the correction's matrix and a table, one after the other."""
    matrices = [(GENERATOR.standard_normal((SIZE, SIZE)) / 8.0).astype(np.float16).astype(np.float32) for _ in NAMES]
    constants = [numpy_helper.from_array(matrix, name) for name, matrix in zip(NAMES, matrices, strict=True)]
    steps = ["x", "a", "b", "y"]
    nodes = [
        helper.make_node("MatMul", [steps[i], name], [steps[i + 1]], f"node_{name}") for i, name in enumerate(NAMES)
    ]
    shape = [1, "frames", SIZE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "three", values[:1], values[1:], constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(tmp_path / "x.onnx"))
    return tmp_path / "x.onnx"


def run(file):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    y = session.run(["y"], {"x": X})[0]
    return y


def types(file):
    return {tensor.name: tensor.data_type for tensor in load(str(file)).graph.initializer}


def test_float16_is_only_how_weights_are_stored(file):
    expected = run(file)
    store_weights(file, "float16", ["basis"])
    np.testing.assert_array_equal(run(file), expected)  # the weights were those of 16 bits before
    kinds = types(file)
    assert kinds == {
        "layer.float16": TensorProto.FLOAT16, "correction.spread": TensorProto.FLOAT, "basis": TensorProto.FLOAT
    }  # fmt: skip


def test_int8_is_of_layers_alone(file):
    expected = run(file)
    store_weights(file, "int8", ["basis"])
    made = run(file)
    assert 0.0 < (made - expected).std() < 0.03 * expected.std()
    kinds = types(file)
    assert {kinds[name] for name in ("correction.spread", "basis")} == {TensorProto.FLOAT}
    assert TensorProto.INT8 in kinds.values()
    assert "layer" not in kinds
