"""A toy acoustic model in the format of Matcha-TTS for sherpa-onnx: each letter is a few frames of a table."""

import numpy as np
from onnx import helper, numpy_helper, parser, save

LETTERS = "abcd"
PROGRAM = """<ir_version: 9, opset_import: ["": 17]>
acoustic (int64[1, letters] x, int64[1] x_length, float[1] noise_scale, float[1] length_scale)
    => (float[1, %d, frames] mel) {
    parts = Gather(table, x)
    rows = Constant<value_ints: ints = [1, -1, %d]>()
    joined = Reshape(parts, rows)
    mel = Transpose<perm: ints = [0, 2, 1]>(joined)
}"""


def write_matcha(folder, table, sample_rate):
    """Write a model, its tokens and its lexicon; return their paths by the argument names of sherpa-onnx.

    Args:
        folder: the directory for the files.
        table: (letters, frames per letter, n_mels); the mel of a text joins those of its letters.
        sample_rate: Hz.
    """
    n_mels = table.shape[2]
    model = parser.parse_model(PROGRAM % (n_mels, n_mels))
    model.graph.initializer.append(numpy_helper.from_array(np.concatenate([table[:1], table]), "table"))  # token 0 pads
    facts = {"model_type": "matcha-tts", "sample_rate": sample_rate, "n_speakers": 1, "version": 1}
    facts |= {"jieba": 1, "has_espeak": 0, "use_eos_bos": 0, "pad_id": 0}
    helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    save(model, str(folder / "acoustic.onnx"))
    tokens = ["_", *LETTERS]
    (folder / "tokens.txt").write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)))
    (folder / "lexicon.txt").write_text("".join(f"{letter} {letter}\n" for letter in LETTERS))
    names = {"acoustic_model": "acoustic.onnx", "tokens": "tokens.txt", "lexicon": "lexicon.txt"}
    return {name: str(folder / file) for name, file in names.items()}
