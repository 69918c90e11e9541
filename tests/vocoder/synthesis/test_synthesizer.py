import dataclasses
import json

import numpy as np
import pytest
import recordings
import torch
from exactness import assert_same
from scipy.ndimage import gaussian_filter
from tiny_models import TINY_CONFIGS, TINY_MEL, lapped_config, random_synthesizer, tiny_synthesizer, tiny_waveglow

from vocoder.checkpoint import Checkpoint
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.mel.values import MelError
from vocoder.models.waveglow import WaveGlow
from vocoder.sampling import Utterance
from vocoder.synthesis.runner import Denoiser
from vocoder.synthesis.synthesizer import Synthesizer

FRAMES = 60
every_kind = pytest.mark.parametrize("kind", TINY_CONFIGS)


def mel(*shape):
    return -6 + torch.randn(*shape)


@every_kind
def test_arrays_give_arrays_and_a_batch_equals_its_items_alone(kind):
    v, m = tiny_synthesizer(kind), mel(3, 5, FRAMES)
    x = v.synthesize(m, seed=10)
    assert isinstance(x, torch.Tensor)
    assert (x.shape, x.dtype) == ((3, FRAMES * 8), torch.float32)
    torch.set_default_dtype(torch.bfloat16)  # neither this, nor autocast, nor another default device matters
    with torch.autocast("cpu"), torch.device("meta"):
        arrays = v.synthesize(m.numpy(), seed=10), np.concatenate(list(v.stream(m[0].numpy(), seed=10, chunk_frames=9)))
        together = v.synthesize_many([Utterance(mel=m[i], seed=10 + i, denoise=0.1) for i in range(3)])
        for i in range(3):
            assert_same(x[i], v.synthesize(m[i], seed=10 + i))
            assert_same(together[i], v.synthesize(m[i], seed=10 + i, denoise=0.1))
    assert [(array.dtype, array.shape) for array in arrays] == [(np.float32, x.shape), (np.float32, x[0].shape)]
    assert np.array_equal(arrays[0], x.numpy())
    assert_same(torch.from_numpy(arrays[1]), x[0])


def test_seed_and_sigma_determine_the_waveform():
    v, m = tiny_synthesizer("lapped"), mel(5, FRAMES)
    assert torch.equal(v.synthesize(m, seed=4), v.synthesize(m, seed=4))
    assert (v.synthesize(m, seed=4) - v.synthesize(m, seed=5)).abs().max() > 1e-3
    torch.manual_seed(1)
    drawn = v.synthesize(m)
    assert not torch.equal(drawn, v.synthesize(m))
    torch.manual_seed(1)
    assert torch.equal(drawn, v.synthesize(m))
    v, m = tiny_synthesizer("grouping"), mel(5, FRAMES)
    assert torch.equal(v.synthesize(m, seed=1), v.synthesize(m, seed=1, sigma=0.6))
    assert torch.equal(v.synthesize(m, seed=1, sigma=0.0), v.synthesize(m, seed=2, sigma=0))
    assert not torch.equal(v.synthesize(m, seed=1, sigma=0.3), v.synthesize(m, seed=1))


@pytest.mark.parametrize("method", ["synthesize", "stream", "synthesize_many"])
def test_the_waveform_is_an_ordinary_tensor_and_grad_mode_is_unchanged(method):
    v, m = tiny_synthesizer("lapped"), mel(5, FRAMES).requires_grad_()
    x = getattr(v, method)([m, Utterance(mel=m)] if method == "synthesize_many" else m)
    x = x if method == "synthesize" else next(iter(x))
    assert torch.is_grad_enabled()
    assert not x.is_inference()
    assert not x.requires_grad
    x *= 0.5
    scale = torch.ones(1, requires_grad=True)
    (scale * x).sum().backward()
    torch.testing.assert_close(scale.grad, x.sum()[None])


def test_arrays_of_any_layout_are_accepted_and_invalid_mels_rejected():
    v, m = tiny_synthesizer("lapped"), mel(5, FRAMES).numpy()
    read_only = np.frombuffer(m.tobytes(), np.float32).reshape(m.shape)
    for given in (m.astype(np.float64), m.astype(">f4"), np.asfortranarray(m), m[:, ::-1].copy()[:, ::-1], read_only):
        assert np.array_equal(v.synthesize(given, seed=1), v.synthesize(m, seed=1))
    for call, message in SYNTHESIS_ERRORS.values():
        with pytest.raises(MelError, match=message):
            call(v)


SYNTHESIS_ERRORS = {
    "no items": (lambda v: v.synthesize(mel(0, 5, 30)), r"not \(0, 5, 30\)$"),
    "complex": (lambda v: v.synthesize(mel(5, 3) * 1j), "floating-point numbers, not torch.c"),
    "sparse": (lambda v: v.synthesize(mel(5, 3).to_sparse()), "must be a dense tensor"),
    "whole numbers": (lambda v: v.synthesize(np.zeros((5, 3), "i4")), "floating-point numbers, not int32"),
    "beyond float32": (lambda v: v.synthesize(np.full((5, 3), 1e39)), "15 of the 15 values are not finite"),
    "a list": (lambda v: v.synthesize([[0.0] * 3] * 5), "not list"),
    "a list streamed": (lambda v: list(v.stream([[0.0] * 3] * 5)), "not list"),
    "nothing streamed": (lambda v: v.stream([None], preset="auto"), "not NoneType"),
    "a text streamed": (lambda v: v.stream("mel.npy"), "iterable of them, not str"),
    "masked values": (lambda v: v.synthesize(np.ma.masked_equal(np.zeros((5, 3)), 0)), r"masked array: fill .*filled"),
    "a batch of batches streamed": (lambda v: v.stream(mel(1, 2, 5, 3)), r"one mel of 2 .*, not of 4$"),
    "batches streamed": (lambda v: v.stream([mel(1, 5, 3)], preset="auto"), r"one mel of 2 .*, not of 3$"),
}


def test_invalid_stream_options_are_rejected_immediately():
    known = "sigma, seed, denoise, corrections, sharpen, guard, preset, adapt, chunk_frames, first_chunk_frames"
    least, unknown = "from 1 to", rf"^unknown option 'sharpn'; known: {known}$"
    cases = ("sigma", -0.1, "sigma"), ("chunk_frames", 0, least), ("chunk_frames", "8", least), ("sharpn", 1, unknown)
    for name, value, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            tiny_synthesizer("lapped").stream(mel(5, 3), **{name: value})


def test_info_is_plain_data_and_repr_is_one_line():
    model = tiny_waveglow("lapped")
    provenance, quality = {"corpus": "tones"}, {"pesq": 3.5}
    v = Synthesizer(Checkpoint(model, "waveglow", TINY_MEL, provenance, quality), "tiny", "cpu", torch.float32)
    info = json.loads(json.dumps(v.info()))
    assert (info["name"], info["family"], info["dtype"], info["device"]) == ("tiny", "waveglow", "float32", "cpu")
    assert info["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert info["mel"]["n_mels"] == info["architecture"]["n_mels"] == 5
    assert (info["sigma"], info["provenance"], info["quality"]) == (1.0, provenance, quality)
    assert info["corrections"] == info["architecture"]["corrections"] == model.config.corrections
    assert info["lookahead_frames"] == info["lookahead_ms"] == v.open_stream().lookahead  # frames of 1 ms
    assert (v.sample_rate, v.hop_length, v.origin(np.int64(7)).to_json().count('"seed": 7')) == (8000, 8, 1)
    mels = "'tiny' mels with 5 bands at 8000 Hz"
    assert repr(v) == f"<Synthesizer 'tiny': waveglow, 0.0 million parameters, {mels}, float32 on cpu>"


def test_the_number_of_corrections_can_be_chosen_per_call_in_streams_and_rows():
    v, m = tiny_synthesizer("lapped"), mel(5, 30)
    torch.testing.assert_close(v.synthesize(m, seed=1), v.synthesize(m, seed=1, corrections=v.model.config.corrections))
    for corrections in (0, 3):
        x = v.synthesize(m, seed=1, corrections=corrections)
        assert float((x - v.synthesize(m, seed=1)).abs().max()) > 1e-4
        chunks = list(v.stream(m, seed=1, corrections=corrections, chunk_frames=5))
        assert_same(torch.cat(chunks), x, 2e-5)  # so few bands use plain operations
        row = [Utterance(m, seed=1, corrections=corrections), Utterance(m, seed=2), Utterance(m[:, :21], seed=3)]
        assert_same(v.synthesize_many([*row, row[0]])[3], x, 2e-5)


NAMES = ("hifigan", "espnet", "vocos", "tacotron2-tf", "speecht5")
"""exact but delayed; other bands; other rate and number of bands; other range; other hop in seconds"""


@pytest.fixture(scope="module")
def random_model():
    return random_synthesizer()


def mel_of(name, seconds=0.5):
    config = preset(name)
    return recordings.mel_of(name)[:, : int(seconds * config.sample_rate / config.hop_length)].numpy()


@pytest.mark.parametrize("name", NAMES)
def test_adapted_audio_is_as_long_as_the_mel_and_a_stream_equals_the_whole(random_model, name):
    config, mel = preset(name), mel_of(name)
    x = random_model.synthesize(mel, seed=1, preset=name)
    assert len(x) == round(mel.shape[1] * config.hop_length * 22050 / config.sample_rate)
    assert random_model.path(name).adapted == (None if name == "hifigan" else name)
    batch = random_model.synthesize(torch.from_numpy(np.stack([mel, mel])), seed=1, preset=config)
    np.testing.assert_allclose(batch[0].numpy(), x, atol=1e-5)
    for size in (7, 1000):
        pieces = [mel[:, i : i + size] for i in range(0, mel.shape[1], size)]
        np.testing.assert_allclose(np.concatenate(list(random_model.stream(pieces, seed=1, preset=name))), x, atol=1e-5)


def test_smooth_mels_are_sharpened_whole_in_streams_and_in_rows(random_model):
    sharp = mel_of("nvidia")
    smooth = gaussian_filter(sharp, (2.0, 2.0))
    assert np.array_equal(random_model.synthesize(sharp, seed=1), random_model.synthesize(sharp, seed=1, sharpen=0.0))
    x, plain = (random_model.synthesize(smooth, seed=1, sharpen=strength) for strength in (None, 0.0))
    assert np.abs(x - plain).max() > 1e-3
    np.testing.assert_allclose(np.concatenate(list(random_model.stream(smooth, seed=1, chunk_frames=5))), x, atol=1e-5)
    session = random_model.open_stream()
    session.push(smooth)
    assert session.sharpened == random_model.check(smooth).smoothness > 0
    row = random_model.synthesize_many([Utterance(smooth, seed=1), Utterance(smooth, seed=1, sharpen=0.0)])
    for one, other in zip(row, (x, plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    with pytest.raises(ValueError, match=r"sharpen must be a number from 0 to 1, or left out, not 1\.5"):
        random_model.synthesize(smooth, sharpen=1.5)


def test_rows_can_mix_mels_of_several_presets(random_model):
    utterances = [Utterance(mel_of(name), seed=i, preset=name) for i, name in enumerate((*NAMES, "nvidia"))]
    for x, utterance in zip(random_model.synthesize_many(utterances), utterances, strict=True):
        alone = random_model.synthesize(utterance.mel, seed=utterance.seed, preset=utterance.preset)
        assert len(x) == len(alone)
        np.testing.assert_allclose(x, alone, atol=1e-4)


@pytest.mark.parametrize("name", NAMES[1:])
def test_adapted_mels_are_close_to_those_of_the_model(random_model, name):
    """The mean difference in loud parts is below half a neper, for unseen sentences too."""
    path, own = random_model.path(name), torch.from_numpy(mel_of("nvidia", 2.0))
    adapted = path.convert(torch.from_numpy(mel_of(name, 2.0)))[:, : own.shape[1]]
    loud = own[:, : adapted.shape[1]] > own.amax(dim=0, keepdim=True)[:, : adapted.shape[1]] - 5.0
    assert (adapted - own[:, : adapted.shape[1]]).abs()[loud].mean() < 0.5


MEL = dataclasses.replace(preset("nvidia"), n_mels=8)
SILENCE = torch.full((8, 60), -11.513)


def test_denoising_reduces_a_hum_and_strength_0_changes_nothing():
    """The synthesizer makes white noise, for any mel, with a quieter hum in its tenth band."""
    changes = {"n_mels": 8, "hop_length": 256, "sample_rate": 22050, "group_size": 32, "flows": 1}
    model = WaveGlow(lapped_config(**changes, stack=WaveNetConfig(4, (1,)), source=None, corrections=0))
    with torch.no_grad():
        model.envelope.projection.bias[9] = 10 * 0.05  # the shift, which is scaled by 0.1
    humming = Synthesizer(Checkpoint(model, "waveglow", MEL), "humming", "cpu", torch.float32)
    levels = [humming.synthesize(SILENCE, sigma=0.0).square().mean()]
    for strength in (0.5, 1.0):
        levels.append(humming.synthesize(SILENCE, sigma=0.0, denoise=strength)[2048:-2048].square().mean())
    half, whole = (10 * torch.log10(level / levels[0]) for level in levels[1:])
    assert levels[0] > 1e-6
    assert -9 < half < -4
    assert whole < -20
    assert torch.equal(humming.synthesize(SILENCE, seed=1, denoise=0.0), humming.synthesize(SILENCE, seed=1))
    x = torch.randn(2, 7000)
    torch.testing.assert_close(Denoiser(torch.randn(1, 7000)).remove(x, 0.0), x, atol=1e-5, rtol=0)
