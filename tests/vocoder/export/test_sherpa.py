"""Exported vocoders run in sherpa-onnx, behind an acoustic model in the format of Matcha-TTS."""

import dataclasses

import numpy as np
import onnx
import pytest
import sherpa_onnx
import torch
from onnx import helper, numpy_helper, parser
from tiny_models import EXPORTED_MEL, lapped_config, perturbed, tiny_reverse

from vocoder.checkpoint import Checkpoint, save_model
from vocoder.cli import main
from vocoder.correction.correction import Correction
from vocoder.export.formats import export_model
from vocoder.export.traced import ExportError
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.synthesis.synthesizer import Synthesizer

LETTERS = "abcd"
PROGRAM = """<ir_version: 9, opset_import: ["": 17]>
acoustic (int64[1, letters] x, int64[1] x_length, float[1] noise_scale, float[1] length_scale)
    => (float[1, %d, frames] mel) {
    parts = Gather(table, x)
    rows = Constant<value_ints: ints = [1, -1, %d]>()
    joined = Reshape(parts, rows)
    mel = Transpose<perm: ints = [0, 2, 1]>(joined)
}"""
FRAMES = 12  # per letter
TABLE = 1.5 * np.random.default_rng(4).standard_normal((len(LETTERS), FRAMES, 5)) - 4.0
TABLE = TABLE.clip(max=-3).astype(np.float32)
TEXT = "abcdab"


def write_matcha(folder, table, sample_rate):
    """Write a model, its tokens and its lexicon; return their paths by the argument names of sherpa-onnx.

    The mel of a text joins those of its letters, in `table` (letters, frames per letter, n_mels).
    """
    n_mels = table.shape[2]
    model = parser.parse_model(PROGRAM % (n_mels, n_mels))
    model.graph.initializer.append(numpy_helper.from_array(np.concatenate([table[:1], table]), "table"))  # token 0 pads
    facts = {"model_type": "matcha-tts", "sample_rate": sample_rate, "n_speakers": 1, "version": 1}
    facts |= {"jieba": 1, "has_espeak": 0, "use_eos_bos": 0, "pad_id": 0}
    helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    onnx.save(model, str(folder / "acoustic.onnx"))
    tokens = ["_", *LETTERS]
    (folder / "tokens.txt").write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)))
    (folder / "lexicon.txt").write_text("".join(f"{letter} {letter}\n" for letter in LETTERS))
    names = {"acoustic_model": "acoustic.onnx", "tokens": "tokens.txt", "lexicon": "lexicon.txt"}
    return {name: str(folder / file) for name, file in names.items()}


@pytest.fixture(scope="module")
def voice():
    torch.manual_seed(0)
    return Synthesizer(Checkpoint(tiny_reverse(blocks=1), "reverse", EXPORTED_MEL), "tiny", "cpu", torch.float32)


@pytest.fixture(scope="module")
def exported(voice, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    save_model(folder / "model", voice.model, EXPORTED_MEL)
    file = folder / "vocoder.onnx"
    assert main(["export", str(folder / "model"), "--format", "sherpa-onnx", "--sharpen", "0", "-o", str(file)]) == 0
    return file


@pytest.fixture
def noiseless(exported, tmp_path):
    """Return the same file with its noise scaled to 0, so that every run gives the same audio."""
    model = onnx.load(exported)
    (noise,) = (node for node in model.graph.node if node.op_type.startswith("RandomNormal"))
    kept = [attribute for attribute in noise.attribute if attribute.name != "scale"]
    noise.ClearField("attribute")
    noise.attribute.extend([*kept, helper.make_attribute("scale", 0.0)])
    onnx.save(model, tmp_path / "noiseless.onnx")
    return tmp_path / "noiseless.onnx"


def mel_of(text, table=TABLE):
    """Return the mel of a text; sherpa-onnx puts the padding token before, between and after the letters."""
    return np.concatenate([table[0], *(part for c in text for part in (table[LETTERS.index(c)], table[0]))]).T


def synthesize(file, folder, table=TABLE, sample_rate=8000, times=1):
    matcha = sherpa_onnx.OfflineTtsMatchaModelConfig(vocoder=str(file), **write_matcha(folder, table, sample_rate))
    config = sherpa_onnx.OfflineTtsConfig(model=sherpa_onnx.OfflineTtsModelConfig(matcha=matcha, num_threads=1))
    assert config.validate()
    tts = sherpa_onnx.OfflineTts(config)
    assert tts.sample_rate == sample_rate
    return [np.array(tts.generate(" ".join(TEXT)).samples, np.float32) for _ in range(times)]


def reference_audio(v, mel, sigma, seed):
    """Return the synthesizer's audio, corrected as programs do it: all frames of a grid at once."""
    x = torch.from_numpy(v.synthesize(mel, sigma=sigma, seed=seed, corrections=0, sharpen=0))[None]
    return np.asarray(Correction(v.mel_config, v.corrections).at_once(x, torch.from_numpy(mel)[None])[0])


def test_sherpa_computes_the_same_audio_as_the_synthesizer(voice, noiseless, tmp_path):
    (x,) = synthesize(noiseless, tmp_path)
    expected = reference_audio(voice, mel_of(TEXT), 0.0, 1)
    assert x.shape == expected.shape == ((2 * len(TEXT) + 1) * FRAMES * EXPORTED_MEL.hop_length,)
    assert expected.std() > 0.02
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-4)


def test_models_of_zipvoice_mels_are_exported_as_spectra_that_sherpa_inverts(tmp_path):
    sizes = {"n_mels": 100, "hop_length": 256, "sample_rate": 24000, "group_size": 64}
    model = perturbed(WaveGlow(lapped_config(**sizes, flows=1, stack=WaveNetConfig(6, (1,)), source=None)), 0.1)
    v = Synthesizer(Checkpoint(model, "waveglow", preset("vocos")), "tiny", "cpu", torch.float32, "off")
    file = tmp_path / "vocoder.onnx"
    export_model(v, "sherpa-onnx", file, sigma=0.0, corrections=0)
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    expected_metadata = {"model_type": "vocos", "n_fft": "1024", "win_length": "1024", "hop_length": "256"}
    assert metadata.items() >= expected_metadata.items()
    table = (np.random.default_rng(4).standard_normal((len(LETTERS), FRAMES, 100)) - 4.0).astype(np.float32)
    (x,) = synthesize(file, tmp_path, table, 24000)
    expected = v.synthesize(mel_of(TEXT, table), sigma=0.0, corrections=0)
    assert x.shape == expected.shape == ((2 * len(TEXT) + 1) * FRAMES * 256,)
    assert np.abs(x - expected).max() < 1e-4 < expected.std()


def test_the_exported_noise_is_as_strong_as_ours_and_differs_between_runs(voice, exported, tmp_path):
    one, other = synthesize(exported, tmp_path, times=2)
    assert np.abs(one - other).max() > 0.01
    mel = mel_of(TEXT)
    quiet = reference_audio(voice, mel, 0.0, 1)
    ours = np.std([reference_audio(voice, mel, None, seed) - quiet for seed in range(2)])
    assert np.std([one - quiet, other - quiet]) == pytest.approx(ours, rel=0.15)


def test_unsupported_mels_and_invalid_arguments_are_rejected(voice, tmp_path):
    decimal = dataclasses.replace(EXPORTED_MEL, name="decimal", log="log10")
    checkpoint = Checkpoint(WaveGlow(lapped_config(corrections=0)), "waveglow", decimal)
    other = Synthesizer(checkpoint, "x", "cpu", torch.float32)
    with pytest.raises(ExportError, match="natural logarithms"):
        export_model(other, "sherpa-onnx", tmp_path / "x.onnx")
    with pytest.raises(ExportError, match="scale that instead of giving sigma"):
        export_model(voice, "onnx", tmp_path / "x.onnx", sigma=0.5)
    with pytest.raises(ExportError, match="need an ONNX format"):
        export_model(voice, "torch-export", tmp_path / "x.pt2", weights="int8")
    with pytest.raises(ValueError, match="corrections"):
        export_model(voice, "sherpa-onnx", tmp_path / "x.onnx", corrections=-1)
    with pytest.raises(ValueError, match="'decimal' mels cannot be sharpened: leave sharpen out"):
        export_model(other, "onnx", tmp_path / "x.onnx", sharpen=0.5)
    assert list(tmp_path.iterdir()) == []
