from dataclasses import replace

import pytest
import torch
from tiny_models import perturbed
from tiny_objectives import MEL
from tiny_objectives import REVERSE as CONFIG

from training.start.across import between, weights_across
from training.start.inheritance import inherit, inherit_pitch, load_pitch
from vocoder.checkpoint import CheckpointError, save_model
from vocoder.config import ConfigError
from vocoder.layers.conditioning import PitchConfig, PitchNet, normalised
from vocoder.layers.product import FrameConv
from vocoder.layers.source import SourceConfig
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import mel_filterbank
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student, StudentConfig

SOURCE = SourceConfig(f_max=900, pitch=PitchConfig(channels=4, layers=1, bins=5))


def test_a_pitch_network_is_inherited_if_it_fits():
    made, given = frames_student(SOURCE), PitchNet(4, SOURCE.pitch)
    inherit_pitch(made, given)
    assert made.pitch is not given
    for name, value in made.pitch.state_dict().items():
        assert torch.equal(value, given.state_dict()[name])
    with pytest.raises(ConfigError, match="the Student has no harmonic source"):
        inherit_pitch(frames_student(None), PitchNet(4, SOURCE.pitch))
    with pytest.raises(ConfigError, match=r"model\.source\.pitch must be .*'bins': 7"):
        inherit_pitch(frames_student(SOURCE), PitchNet(4, replace(SOURCE.pitch, bins=7)))
    with pytest.raises(ConfigError, match="differ"):
        inherit_pitch(frames_student(SOURCE), PitchNet(3, SOURCE.pitch))


def frames_student(source):
    stack = WaveNetConfig(6, (1,), 2, causal=True)
    config = StudentConfig(n_mels=4, hop_length=8, group_size=8, cond_channels=3, stacks=(stack,), source=source)
    return Student(config)


def saved(folder, **changes):
    torch.manual_seed(0)
    given = perturbed(Reverse(replace(CONFIG, **changes)), 0.1).requires_grad_(False)
    return given, str(save_model(folder, given, MEL))


def test_a_model_with_less_lookahead_inherits_all_but_the_later_taps(tmp_path):
    given, folder = saved(tmp_path, ahead=2, condition_ahead=3)
    nearer = replace(CONFIG.source, pitch=replace(CONFIG.source.pitch, ahead=0))
    made = Reverse(replace(CONFIG, ahead=1, condition_ahead=0, source=nearer))
    inherit(made, folder)
    readers = [layer for net in (given.condition, given.pitch) for layer in net.layers if isinstance(layer, FrameConv)]
    for convolution in (*(block.depthwise for block in given.blocks), *readers):
        convolution.weight[:, :, 2] = 0.0  # the taps to the frame after
    mel = torch.randn(1, CONFIG.n_mels, 20)
    torch.testing.assert_close(given.condition(mel), made.condition(mel))
    torch.testing.assert_close(given.pitch(mel)[0], made.pitch(mel)[0])
    x = torch.randn(1, CONFIG.channels, 20)
    assert (made.blocks[0].after, made.blocks[1].after) == (1, 0)
    assert not torch.equal(given.blocks[0](x), made.blocks[0](x))  # the first block keeps its taps
    torch.testing.assert_close(given.blocks[1](x), made.blocks[1](x))


def test_a_different_head_is_initialised_and_the_same_one_inherited(tmp_path):
    given, folder = saved(tmp_path / "lapped")
    made = Reverse(replace(CONFIG, head=SpectrumHeadConfig(MEL)))
    inherit(made, folder)
    assert torch.equal(made.start.weight, given.start.weight)
    assert not made.head.end.bias.any()
    again, folder = saved(tmp_path / "spectral", head=SpectrumHeadConfig(MEL))
    inherit(made, folder)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())


def test_weights_with_other_settings_are_rejected_by_name(tmp_path):
    _, folder = saved(tmp_path)
    wider = replace(CONFIG.source, pitch=replace(CONFIG.source.pitch, f0_max=500.0))
    with pytest.raises(ConfigError, match=r"model.source.pitch.f0_max is 550.* there, 500.* here"):
        inherit(Reverse(replace(CONFIG, source=wider)), folder)
    made = Reverse(replace(CONFIG, source=wider))
    before = made.pitch.output.weight.clone()
    inherit(made, folder, own_pitch=True)
    assert torch.equal(made.pitch.output.weight, before)
    with pytest.raises(ConfigError, match="is a WaveGlow, not a Reverse"):
        inherit(made, "waveglow")


def test_pitch_networks_are_loaded_from_a_vocoder(tmp_path):
    given = Reverse(replace(CONFIG, source=SOURCE))
    save_model(tmp_path / "net", given, MEL, {"data": []})
    read, mel = load_pitch(str(tmp_path / "net")), torch.randn(1, MEL.n_mels, 9)
    assert read.config == SOURCE.pitch
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(given.pitch(mel), read(mel), strict=True))
    with pytest.raises(CheckpointError):
        load_pitch(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="has no pitch network"):
        load_pitch("wavenet")


OTHER = replace(MEL, name="other", sample_rate=2 * MEL.sample_rate, n_mels=MEL.n_mels + 3, f_max=MEL.f_max * 1.5)


def reverse_of(mel):
    torch.manual_seed(0)
    config = replace(CONFIG, n_mels=mel.n_mels, sample_rate=mel.sample_rate, head=SpectrumHeadConfig(mel))
    return perturbed(Reverse(config), 0.1).requires_grad_(False)


def flat(mel):
    return mel_filterbank(mel).sum(dim=1).log().float()


def test_weights_are_converted_between_mels_with_the_same_window():
    for source, target in (("vocos", "nvidia"), ("nvidia", "vocos"), ("nvidia", "nvidia")):
        weights, offset = between(preset(source), preset(target))
        torch.testing.assert_close(weights @ (flat(preset(source)) - 2.0) + offset, flat(preset(target)) - 2.0)
    torch.testing.assert_close(weights, torch.eye(80))
    given = reverse_of(MEL)
    moved = weights_across(reverse_of(MEL), given)
    for name, value in given.state_dict().items():
        torch.testing.assert_close(moved[name], value)
    longer = replace(OTHER, n_fft=2 * OTHER.n_fft, win_length=2 * OTHER.n_fft)
    with pytest.raises(ConfigError, match="the same window and hop"):
        weights_across(reverse_of(longer), reverse_of(MEL))
    with pytest.raises(ConfigError, match="only a reverse student with a spectrum head"):
        weights_across(Reverse(CONFIG), reverse_of(MEL))


def test_converted_layers_give_the_same_output_for_a_flat_spectrum(tmp_path):
    given, made = reverse_of(MEL), reverse_of(OTHER)
    inherit(made, str(save_model(tmp_path / "given", given, MEL)))
    one, other = (flat(mel)[None, :, None].expand(1, -1, 9) for mel in (MEL, OTHER))
    for name in ("condition", "pitch"):
        first, second = getattr(given, name).layers[0], getattr(made, name).layers[0]
        inner = (first(normalised(one))[..., 4], second(normalised(other))[..., 4])
        torch.testing.assert_close(*inner, rtol=1e-4, atol=1e-5)
    z, condition = torch.zeros(1, CONFIG.hop_length, 9), torch.randn(1, CONFIG.cond_channels, 9)
    torch.testing.assert_close(given._started(z, condition, one), made._started(z, condition, other))
    above = slice(CONFIG.hop_length // 2 + 1, CONFIG.hop_length)  # above the band of the given model
    assert not made.start.weight[:, above].any()
