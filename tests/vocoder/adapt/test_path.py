import dataclasses
import math
from fractions import Fraction

import pytest
import torch

from vocoder.adapt.adapter import Adapter, FrameTimes, centre_of
from vocoder.adapt.path import Converter, MelPath, Placement, bands_hint, pass_one_of, path_between
from vocoder.checkpoint import load_model
from vocoder.directories import MODELS
from vocoder.loading import model_directory
from vocoder.mel.config import PRESETS, preset
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.adapter import AdapterConfig, AdapterModel

NVIDIA = preset("nvidia")


def toy_adapter(source, **config):
    torch.manual_seed(3)
    model = AdapterModel(AdapterConfig(bands=source.n_mels, **config))
    return Adapter(source.name, model.requires_grad_(False), source, {"pesq_lost": {"unseen": 0.1}})


def mel_of(config, frames):
    return -4.0 + torch.randn(config.n_mels, frames, generator=torch.Generator().manual_seed(frames))


def test_the_models_own_mels_pass_unchanged_and_other_logarithms_convert_exactly():
    path, mel = path_between(NVIDIA, NVIDIA), mel_of(NVIDIA, 9)
    assert (path.how, path.adapted, path.lookahead, path.delay) == ("own", None, 0, 0)
    assert torch.equal(path.convert(mel), mel)
    assert (path.frames(9), path.samples(9)) == (9, 9 * 256)
    path = path_between(dataclasses.replace(NVIDIA, name="log10", log="log10"), NVIDIA, "off")
    assert path.how == "exact"
    torch.testing.assert_close(path.convert(mel / math.log(10.0)), mel, atol=1e-5, rtol=0)


def test_hifigan_mels_delay_the_audio_by_half_a_hop():
    """The values are the same; only the positions of the frames differ."""
    path = path_between(preset("hifigan"), NVIDIA, "off")
    assert (path.how, path.delay, path.samples(40)) == ("exact", 128, 40 * 256)
    assert repr(path) == "<MelPath from hifigan to nvidia: exact, 128 samples later>"
    expected = "<MelPath from vocos to nvidia: through the vocos adapter, which reverse-24k does not need>"
    assert repr(path_between(preset("vocos"), NVIDIA)) == expected
    x = torch.randn(1, 30 * 256, generator=torch.Generator().manual_seed(1))
    theirs = MelSpectrogram(preset("hifigan"))(x)
    ours = MelSpectrogram(NVIDIA)(torch.nn.functional.pad(x, (0, 0))[:, 128:])
    torch.testing.assert_close(path.convert(theirs)[:, :, 3:-4], ours[:, :, 3:26], atol=2e-3, rtol=0)
    audio = torch.arange(1.0, 7 * 256 + 1.0)[None]
    later = Placement(path, 7).place(audio)
    assert later.shape == audio.shape
    assert not later[:, :128].any()
    assert torch.equal(later[:, 128:], audio[:, :-128])
    placement = Placement(path, 7)
    chunks = [placement.place(chunk) for chunk in audio[0].split(256)]
    assert all(len(chunk) == 256 for chunk in chunks)
    assert torch.equal(torch.cat(chunks), later[0])


def test_unreachable_mel_configs_are_rejected_with_their_differences_and_advice():
    foreign = dataclasses.replace(NVIDIA, name="foreign", hop_length=300, f_max=5000.0)
    with pytest.raises(MelMismatchError, match=r"hop_length is 300, not 256 .*") as caught:
        path_between(foreign, NVIDIA)
    assert len(caught.value.differences) == 2
    with pytest.raises(ValueError, match="adapt must be 'on' or 'off'"):
        path_between(foreign, NVIDIA, "perhaps")
    for name, model in MODELS.items():
        assert load_model(model_directory(model), weights=False).mel_config == preset(name)
    for name in ("nvidia", "hifigan", "cosyvoice2"):
        with pytest.raises(MelMismatchError, match=f"^use the shipped model 'reverse', because '{name}' mels "):
            path_between(preset(name), preset("vocos"))
    with pytest.raises(MelMismatchError, match=r"^compute the mel with the mel config 'nvidia', because"):
        path_between(dataclasses.replace(NVIDIA, name="other", n_mels=60), NVIDIA)


def test_an_adapter_also_takes_normalised_mels():
    source = preset("espnet")
    adapter = toy_adapter(source)
    mean = tuple(float(v) for v in torch.linspace(-3, -1, 80))
    normalised = dataclasses.replace(source, mean=mean, variance=(0.25,) * 80)
    assert adapter.delay(normalised, NVIDIA) == 0
    assert adapter.delay(preset("r9y9"), NVIDIA) is None
    mel = mel_of(source, 6) / math.log(10.0)
    scaled = (mel - torch.tensor(mean)[:, None]) / 0.5
    expected = MelPath(source, NVIDIA, 0, adapter).convert(mel)
    torch.testing.assert_close(MelPath(normalised, NVIDIA, 0, adapter).convert(scaled), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["espnet", "vocos", "speecht5"])
@pytest.mark.parametrize("pieces", [(1,) * 40, (3, 1, 20, 16), (40,)])
def test_converting_in_pieces_equals_converting_the_whole(name, pieces):
    source, mel = preset(name), mel_of(preset(name), 40)
    adapted_path = MelPath(source, NVIDIA, 0, toy_adapter(source, before=2, after=1, hidden=(32,)))
    converter, converted, received = Converter(adapted_path), [], 0
    for piece in mel.split(pieces, dim=1):
        converted.append(converter.push(piece))
        seen, received = sum(part.shape[1] for part in converted), received + piece.shape[1]
        assert seen >= int((received - 1 - adapted_path.lookahead) * adapted_path.adapter.times.step**-1)
    assert torch.equal(torch.cat([*converted, converter.finish()], dim=1), adapted_path.convert(mel))
    assert converter.finish().shape[1] == 0


def test_presets_of_the_same_bands_share_an_adapter():
    """A different framing delays the audio; floors and scales are converted first."""
    later = path_between(preset("indextts2"), NVIDIA)
    assert (later.adapted, later.delay) == ("nemo", 128)
    mel = mel_of(preset("nemo"), 12)
    assert torch.equal(later.convert(mel), path_between(preset("nemo"), NVIDIA).convert(mel))
    mel = mel_of(preset("vocos"), 12)
    expected = path_between(preset("vocos"), NVIDIA).convert(mel)
    tenth = path_between(preset("zipvoice"), NVIDIA)
    assert (tenth.adapted, tenth.delay) == ("vocos", 0)
    torch.testing.assert_close(tenth.convert(0.1 * mel), expected, atol=1e-4, rtol=0)
    mapped = path_between(preset("gpt-sovits-v3"), NVIDIA)
    expected = path_between(preset("bigvgan"), NVIDIA).convert(mel)
    torch.testing.assert_close(mapped.convert((mel + 5.0) / 7.0), expected, atol=1e-4, rtol=0)
    with pytest.raises(MelMismatchError, match="f_max is 11025"):
        path_between(preset("indextts2"), NVIDIA, "off")


@pytest.mark.parametrize("name", PRESETS)
def test_frame_positions_match_their_times(name):
    source = preset(name)
    grid = FrameTimes(source, NVIDIA)
    for frame in (0, 1, 1000):
        seconds = Fraction(frame * 256, 22050)
        assert centre_of(source) + grid.position(frame) * Fraction(source.hop_length, source.sample_rate) == seconds


def test_interpolation_between_frames_is_exact_for_a_parabola():
    """A cubic through four points is exact for polynomials of degree two away from the ends."""
    grid = FrameTimes(preset("vocos"), NVIDIA)
    converted = grid.windows((torch.arange(60.0, dtype=torch.float64) ** 2)[None], 2, 50, 0, 60)[:, 0, 0]
    expected = torch.tensor([float(grid.position(frame)) ** 2 for frame in range(2, 50)], dtype=torch.float64)
    torch.testing.assert_close(converted, expected)


TRANSPOSED = "it looks transposed, (frames, n_mels) instead of (n_mels, frames)"
NAMES = "vocos, f5-tts, zipvoice, bigvgan, gpt-sovits-v3, gpt-sovits-v4, fireredtts"
OF_100 = f"presets with 100 bands are {NAMES}: pass preset=NAME; the shipped model 'reverse-24k' uses vocos itself"
NAMES_80 = ", ".join(name for name, config in PRESETS.items() if config.n_mels == 80)
OF_80 = f"presets with 80 bands are {NAMES_80}: pass preset=NAME, or none for the model's own"
LIBROSA = "128 bands are librosa's default: compute 80, with the model's other settings too"


@pytest.mark.parametrize(
    ("shape", "n_mels", "hint"),
    [
        ((150, 80), 80, TRANSPOSED),
        ((100, 80), 80, f"{TRANSPOSED}; or its 100 rows are bands: presets with these are {NAMES}"),
        ((2, 150, 80), 80, TRANSPOSED),
        ((150, 100), 80, f"{TRANSPOSED}; {OF_100}"),
        ((100, 437), 80, OF_100),
        ((79, 437), 80, ""),
        ((80, 437), 40, OF_80),
        ((437, 80), 40, f"{TRANSPOSED}; {OF_80}"),
        ((128, 437), 80, LIBROSA),
        ((437, 128), 80, f"{TRANSPOSED}; {LIBROSA}"),
    ],
)
def test_shape_hints_name_the_likely_mistake(shape, n_mels, hint):
    assert bands_hint(shape, n_mels, preset("nvidia")) == hint


TAKE_REVERSE = "use the shipped model 'reverse' for presets with 80 bands: " + NAMES_80
OR_80 = "or its 80 rows are bands: use the shipped model 'reverse'"


def test_hints_only_suggest_presets_that_the_model_accepts():
    vocos, transposed = preset("vocos"), f"{TRANSPOSED}; {TAKE_REVERSE}"
    for shape, hint in (((80, 437), TAKE_REVERSE), ((437, 80), transposed), ((80, 100), f"{TRANSPOSED}; {OR_80}")):
        assert bands_hint(shape, 100, vocos) == hint
    of_100 = "presets with 100 bands are vocos, f5-tts, zipvoice, bigvgan, gpt-sovits-v3: "
    assert bands_hint((100, 437), 80, vocos).startswith(of_100)
    assert pass_one_of(["zipvoice", "bigvgan"], vocos) == "pass preset=zipvoice or bigvgan"
    expected = "pass preset=bigvgan, or use the shipped model 'reverse' for fireredtts"
    assert pass_one_of(["bigvgan", "fireredtts"], vocos) == expected
    assert pass_one_of(["nvidia", "nemo"], vocos) == "use the shipped model 'reverse' for nvidia or nemo"
