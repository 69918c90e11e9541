"""An acoustic model in the shape of Matcha-TTS, as sherpa-onnx takes them: each letter is a few frames of a table."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

LETTERS = "abcd"
OPSET = 17


def write_matcha(folder, table, sample_rate):
    """Write a model, its tokens and its lexicon; return them by the names that sherpa-onnx has for them.

    Args:
        folder: where they go.
        table: (letters, frames for each letter, n_mels); the mel of a text is that of its letters, in a row.
        sample_rate: Hz.
    """
    n_mels = table.shape[2]
    padded = np.concatenate([table[:1], table])  # token 0 pads
    constants = [
        numpy_helper.from_array(padded, "table"),
        numpy_helper.from_array(np.array([1, -1, n_mels], np.int64), "rows"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["letters"]),
        helper.make_node("Reshape", ["letters", "rows"], ["frames"]),
        helper.make_node("Transpose", ["frames"], ["mel"], perm=[0, 2, 1]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.INT64, [1, "letters"]),
        helper.make_tensor_value_info("x_length", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("noise_scale", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("length_scale", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, n_mels, "frames"])]
    graph = helper.make_graph(nodes, "acoustic", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    facts = {"model_type": "matcha-tts", "sample_rate": sample_rate, "n_speakers": 1, "version": 1}
    facts |= {"jieba": 1, "has_espeak": 0, "use_eos_bos": 0, "pad_id": 0}
    helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    save(model, str(folder / "acoustic.onnx"))
    tokens = ["_", *LETTERS]
    (folder / "tokens.txt").write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)))
    (folder / "lexicon.txt").write_text("".join(f"{letter} {letter}\n" for letter in LETTERS))
    names = {"acoustic_model": "acoustic.onnx", "tokens": "tokens.txt", "lexicon": "lexicon.txt"}
    return {name: str(folder / file) for name, file in names.items()}
