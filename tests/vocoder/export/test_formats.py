import dataclasses
import json

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, load, numpy_helper, save
from tiny_models import EXPORTED_MEL, grouping_config, lapped_config, perturbed, reverse_config, student_config

from vocoder.checkpoint import Checkpoint, save_model
from vocoder.cli import main
from vocoder.correction.correction import Correction
from vocoder.export import formats
from vocoder.export.formats import export_model, store_weights, write_onnx, write_torch_program
from vocoder.export.traced import ExportError, Traced, program_of, traced
from vocoder.export.transforms import ProductTransforms, irfft, rfft
from vocoder.layers.conditioning import PitchConfig, UpsamplingConfig
from vocoder.layers.source import SourceConfig
from vocoder.layers.stack.wavenet import PublishedStackConfig, WaveNetConfig
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import PublishedWaveNetConfig, WaveNet
from vocoder.sampling import white_noise
from vocoder.synthesis.synthesizer import Synthesizer

SHAPE = {"n_mels": 5, "hop_length": 8, "sample_rate": 8000}
LAYER = WaveNetConfig(channels=6, dilations=(1,))
STACK = WaveNetConfig(channels=4, dilations=(1,), kernel_size=2, causal=True)
SOURCE = SourceConfig(PitchConfig(channels=4, layers=1, kernel_size=3, bins=12, ahead=0), f_max=3000.0)
MODELS = {
    "lapped": lambda: WaveGlow(lapped_config(flows=1, stack=LAYER, source=None, corrections=0)),
    "published": lambda: WaveGlow(grouping_config(flows=3, stack=LAYER)),
    "student": lambda: Student(student_config(stacks=(STACK,), corrections=0)),
    "reverse": lambda: Reverse(reverse_config(blocks=1, source=SOURCE)),
}
"""Only the last one has a harmonic source and a correction."""


def synthesizer(build, family="waveglow"):
    torch.manual_seed(0)
    checkpoint = Checkpoint(perturbed(build(), 0.1), family, EXPORTED_MEL, {"data": "none"})
    return Synthesizer(checkpoint, "tiny", "cpu", torch.float32)


def inputs_and_expected(v, batch, frames, sharpen=None):
    """Return noise, a mel and the synthesizer's audio, corrected as programs do it: all frames at once."""
    mel = (2 * torch.randn(batch, 5, frames) - 4).clamp_max(-3)  # below full scale
    mel[:, 1, ::5] = -13  # below silence
    _, channels, steps = v.model.noise_shape(1, frames)
    z = 0.5 * torch.stack([white_noise(7 + i, 0, frames, channels, steps // frames) for i in range(batch)])
    x = v.synthesize(mel, sigma=0.5, seed=7, corrections=0, sharpen=sharpen)
    return z, mel, Correction(v.mel_config, v.corrections).at_once(x, mel.clamp_min(np.log(1e-5)))


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
@pytest.mark.parametrize("name", MODELS)
def test_programs_compute_the_same_audio_as_the_synthesizer(tmp_path, name):
    sharpen = None if name == "reverse" else 0.0  # None makes a program larger by half
    v = synthesizer(MODELS[name])
    program = traced(v, program_of(v, sharpen=sharpen))
    write_onnx(program, tmp_path / "x.onnx")
    write_torch_program(program, tmp_path / "x.pt2")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    reloaded = torch.export.load(tmp_path / "x.pt2").module()
    assert [node.name for node in session.get_inputs()] == ["z", "mel"]
    least_frames = 4 if name == "reverse" else 3
    for batch, frames in ((1, 5 if least_frames == 4 else 3), (3, 50), (1, 600)):
        z, mel, x = inputs_and_expected(v, batch, frames, sharpen)
        assert float(x.std()) > 0.05
        torch.testing.assert_close(reloaded(z, mel), x, rtol=0, atol=1e-4)
        (made,) = session.run(["x"], {"z": z.numpy(), "mel": mel.numpy()})
        np.testing.assert_allclose(made, x.numpy(), rtol=0, atol=1e-3)
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    assert json.loads(metadata["mel"]) == json.loads(json.dumps(dataclasses.asdict(EXPORTED_MEL)))
    assert json.loads(metadata["provenance"]) == {"data": "none"}
    assert (metadata["family"], float(metadata["sigma"])) == ("waveglow", v.model.config.sigma)
    assert int(metadata["least_frames"]) == least_frames
    assert int(metadata["z_channels"]) * int(metadata["z_steps_per_frame"]) == 8


def test_a_program_sharpens_with_the_given_strength():
    v = synthesizer(MODELS["student"], "student")
    z, mel, _ = inputs_and_expected(v, 1, 50)
    made = [program_of(v, sharpen=strength)(z, mel) for strength in (None, 0.0, 1.0)]
    for x, strength in zip(made, (None, 0.0, 1.0), strict=True):
        torch.testing.assert_close(x, v.synthesize(mel, sigma=0.5, seed=7, sharpen=strength), rtol=0, atol=1e-4)
    assert float((made[1] - made[2]).abs().max()) > 1e-3
    program = traced(v, program_of(v, sharpen=1.0))
    torch.testing.assert_close(program.program.module()(z, mel), made[2], rtol=0, atol=1e-4)
    assert program.about["sharpen"] == "1.0"


def test_models_that_cannot_be_exported_are_rejected(tmp_path, capsys):
    upsampling = UpsamplingConfig((2, 4), bands=1)
    config = PublishedWaveNetConfig(**SHAPE, stack=PublishedStackConfig(3, 3, 3, dilations=(1,)), upsampling=upsampling)
    save_model(tmp_path / "model", WaveNet(config), EXPORTED_MEL)
    slow = "family published-wavenet generates sample by sample"
    for form, name, why in (("onnx", "x", slow), ("torch-export", "x", slow), ("onnx", "model", "is a folder")):
        assert main(["export", str(tmp_path / "model"), "--format", form, "-o", str(tmp_path / name)]) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    config = student_config(kind="samples", stacks=(STACK,), filter_taps=4)
    with pytest.raises(ExportError, match=r"minimum-phase filter: export it as torch-export"):
        export_model(synthesizer(lambda: Student(config), "student"), "onnx", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_a_failed_export_leaves_no_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    v, kept = synthesizer(MODELS["student"], "student"), tmp_path / "kept.pt2"
    program = Traced(torch.export.export(torch.nn.Identity(), (torch.zeros(1),)), {})
    monkeypatch.setattr(formats, "traced", lambda *given, **options: program)
    with pytest.raises(OSError, match="No space left"):
        write_torch_program(program, tmp_path / "/dev/full")
    kept.write_text("an earlier export")
    for file, error in ((kept, KeyboardInterrupt), (tmp_path / "new.pt2", ExportError)):

        def interrupted_store(file, *rest, error=error):
            assert file.stat().st_size > 0
            raise error

        monkeypatch.setattr(formats, "store_weights", interrupted_store)
        with pytest.raises(error):
            export_model(v, "torch-export", file)
    assert list(tmp_path.iterdir()) == [kept]
    assert kept.read_text() == "an earlier export"


SIZE = 64
GENERATOR = np.random.default_rng(6)
X = GENERATOR.standard_normal((1, 8, SIZE)).astype(np.float32)
NAMES = ("layer", "correction.spread", "basis")


@pytest.fixture
def file(tmp_path):
    """Return an ONNX file that multiplies by a layer, the correction's matrix and a table in turn."""
    matrices = [(GENERATOR.standard_normal((SIZE, SIZE)) / 8.0).astype(np.float16).astype(np.float32) for _ in NAMES]
    constants = [numpy_helper.from_array(matrix, name) for name, matrix in zip(NAMES, matrices, strict=True)]
    nodes = [helper.make_node("MatMul", ["xab"[i], name], ["aby"[i]], f"node_{name}") for i, name in enumerate(NAMES)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "frames", SIZE]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "three", values[:1], values[1:], constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(tmp_path / "x.onnx"))
    return tmp_path / "x.onnx"


def run(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(["y"], {"x": X})[0]


def types(file):
    return {tensor.name: tensor.data_type for tensor in load(str(file)).graph.initializer}


def test_float16_storage_does_not_change_the_output(file):
    expected = run(file)
    store_weights(file, "float16", ["basis"])
    np.testing.assert_array_equal(run(file), expected)  # these weights fit into 16 bits exactly
    others = dict.fromkeys(("correction.spread", "basis"), TensorProto.FLOAT)
    assert types(file) == others | {"layer.float16": TensorProto.FLOAT16}


def test_int8_storage_applies_only_to_layers(file):
    expected = run(file)
    store_weights(file, "int8", ["basis"])
    assert 0.0 < (run(file) - expected).std() < 0.03 * expected.std()
    kinds = types(file)
    assert {kinds[name] for name in ("correction.spread", "basis")} == {TensorProto.FLOAT}
    assert (TensorProto.INT8 in kinds.values(), "layer" in kinds) == (True, False)


@pytest.mark.parametrize("n", [2, 4, 6, 8, 12, 30, 64, 200, 512, 1024, 34])
def test_transforms_equal_those_of_torch(n):
    x = torch.randn(2, 3, n, dtype=torch.float64)
    torch.testing.assert_close(rfft(x), torch.fft.rfft(x), rtol=0, atol=1e-9 * n)
    spectrum = torch.randn(2, 3, n // 2 + 1, dtype=torch.complex128)
    spectrum.imag[..., :: n // 2] = 0  # the first and the last: without meaning, and libraries treat them differently
    torch.testing.assert_close(irfft(spectrum, n), torch.fft.irfft(spectrum, n=n), rtol=0, atol=1e-10)


def test_the_mode_replaces_transforms_of_torch_by_products():
    x = torch.randn(5, 64)
    with ProductTransforms([64]):
        spectrum = torch.fft.rfft(x)
        back = torch.fft.irfft(spectrum, n=64)
        other = torch.fft.rfft(x[:, :32])
    assert not torch.equal(spectrum, torch.fft.rfft(x))  # rounded differently
    torch.testing.assert_close(spectrum, torch.fft.rfft(x), rtol=0, atol=1e-4)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)
    assert torch.equal(other, torch.fft.rfft(x[:, :32]))
