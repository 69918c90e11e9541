"""A program that AOTInductor compiled speaks in C++ as the synthesizer does: `make cpp-test`; it takes minutes."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import TINY_MEL, grouping_config, lapped_config, stirred, tiny_reverse

from vocoder.checkpoint import Checkpoint
from vocoder.correction.correction import Correction
from vocoder.export.formats import export_model
from vocoder.export.traced import ExportError
from vocoder.models.families import family_of
from vocoder.models.waveglow import WaveGlow
from vocoder.synthesis.synthesizer import Synthesizer

EXAMPLE = Path(__file__).parents[3] / "examples" / "cpp"
MODELS = {
    "grouping": lambda: stirred(WaveGlow(grouping_config(flows=1)), 0.1),
    "lapped": lambda: stirred(WaveGlow(lapped_config(flows=1)), 0.1),
    "reverse": tiny_reverse,
}
slow = pytest.mark.skipif(not os.environ.get("CPP_TEST"), reason="make cpp-test compiles it, for minutes")


def voice(kind):
    torch.manual_seed(0)
    model = MODELS[kind]()
    return Synthesizer(Checkpoint(model, family_of(model), TINY_MEL), "tiny", "cpu", torch.float32)


def test_the_name_of_the_file_is_checked_first(tmp_path):
    with pytest.raises(ExportError, match=r"name ends in \.pt2, not x\.onnx"):
        export_model(voice("grouping"), "aot-inductor", tmp_path / "x.onnx")


@pytest.fixture(scope="module")
def speak(tmp_path_factory):
    """The example, built."""
    folder = tmp_path_factory.mktemp("cpp")
    prefix = f"-DTORCH={Path(torch.__file__).parent}"
    for command in (["cmake", "-S", EXAMPLE, "-B", folder, prefix], ["cmake", "--build", folder]):
        subprocess.run(command, check=True)
    return folder / "synthesize"


@slow
@pytest.mark.parametrize("kind", MODELS)
def test_c_plus_plus_speaks_as_the_synthesizer(kind, speak, tmp_path):
    v = voice(kind)
    export_model(v, "aot-inductor", tmp_path / "x.pt2")
    mel = (2 * torch.randn(5, 40) - 4).clamp_max(-3)
    mel.numpy().tofile(tmp_path / "mel")
    _, channels, steps = v.model.noise_shape(1, 1)
    numbers = ["5", str(channels), str(steps), "0.0"]
    paths = {"LD_LIBRARY_PATH": str(Path(torch.__file__).parent / "lib")}
    command = [speak, tmp_path / "x.pt2", tmp_path / "mel", *numbers, tmp_path / "x"]
    subprocess.run(command, check=True, env=os.environ | paths)
    alone = v.synthesize(mel, sigma=0.0, seed=1, corrections=0, guard="off")
    expected = Correction(v.mel_config, v.corrections).at_once(alone[None], mel[None])[0].numpy()
    np.testing.assert_allclose(np.fromfile(tmp_path / "x", "<f4"), expected, rtol=0, atol=1e-4)
