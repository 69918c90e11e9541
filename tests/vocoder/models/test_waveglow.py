"""WaveGlow, published and ours."""

import dataclasses

import pytest
import torch
from tiny_models import TINY_CONFIGS, lapped_config, stirred, tiny_synthesizer, tiny_waveglow

from vocoder.layers.stack import WaveNetConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import published
from vocoder.sampling import Utterance

float64 = pytest.mark.usefixtures("float64")
CHANNELS = [8, 8, 8, 8, 6, 6, 6, 6, 4, 4, 4, 4]
"""of the published flows"""
every_kind = pytest.mark.parametrize("kind", TINY_CONFIGS)


@float64
@every_kind
def test_the_density_of_a_linear_model_is_the_normal_one(kind):
    model = WaveGlow(TINY_CONFIGS[kind]())
    stirred(model.convinv, 0.3)
    if model.envelope is not None:
        stirred(model.envelope)
    mel, x = torch.randn(1, 5, 3), torch.randn(1, 24)
    with torch.no_grad():
        mean, _ = model.inverse(torch.zeros(model.noise_shape(1, 3)), mel)
    matrix = torch.autograd.functional.jacobian(lambda v: model(v, mel)[0].flatten(), x).reshape(24, 24)
    normal = torch.distributions.MultivariateNormal(mean[0], precision_matrix=matrix.T @ matrix)
    torch.testing.assert_close(model.log_prob(x, mel), normal.log_prob(x), atol=1e-8, rtol=1e-9)


def test_streams_and_company_change_nothing_with_actnorm():
    v = tiny_synthesizer("grouping", actnorm=True)
    mels = [torch.randn(5, frames) - 6 for frames in (30, 7)]
    whole = v.synthesize(mels[0], seed=1)
    rounding = 1e-4 * float(whole.abs().max())  # of float32, through several flows
    streamed = torch.cat(list(v.stream(mels[0], seed=1, chunk_frames=4)))
    torch.testing.assert_close(streamed, whole, atol=rounding, rtol=0)
    together = v.synthesize_many([Utterance(mel, seed=i + 1) for i, mel in enumerate(mels)])
    torch.testing.assert_close(together[0], whole, atol=rounding, rtol=0)
    torch.testing.assert_close(together[1], v.synthesize(mels[1], seed=2), atol=rounding, rtol=0)


@float64
@pytest.mark.parametrize(("kind", "group_size"), [("lapped", 4), ("lapped", 8), ("grouping", 4)])
def test_a_chunk_depends_on_its_context_and_on_nothing_outside(kind, group_size):
    model, frames, (start, stop) = tiny_waveglow(kind, group_size=group_size), 41, (20, 22)
    context = sum(max(stage.before, stage.after) for stage in model.stages())
    z, mel = torch.randn(model.noise_shape(1, frames)), torch.randn(1, 5, frames)
    steps = z.shape[2] // frames

    def chunk(z, mel):
        with torch.no_grad():
            return model.inverse(z, mel)[0][:, start * 8 : stop * 8]

    outside = torch.ones(frames, dtype=torch.bool)
    outside[start - context : stop + context] = False
    assert 0 < outside.sum() < frames
    moved_z = torch.where(outside.repeat_interleave(steps), torch.randn_like(z), z)
    moved_mel = torch.where(outside, torch.randn_like(mel), mel)
    torch.testing.assert_close(chunk(moved_z, moved_mel), chunk(z, mel), atol=1e-12, rtol=0)
    for frame in (start - 2, start):
        moved_z, moved_mel = z.clone(), mel.clone()
        moved_z[:, :, steps * frame] += 1.0
        moved_mel[:, :, frame] += 1.0
        assert (chunk(moved_z, mel) - chunk(z, mel)).abs().max() > 1e-9
        assert (chunk(z, moved_mel) - chunk(z, mel)).abs().max() > 1e-9


@float64
def test_the_source_starts_in_the_channels_to_which_the_flow_takes_it():
    model = WaveGlow(lapped_config(envelope_floor=-100.0))
    x, mel = torch.randn(1, 24), torch.randn(1, 5, 3)
    coefficients, _ = model.transform(x.unsqueeze(1))
    z, _ = model(x, mel)  # envelope and couplings start as the identity
    torch.testing.assert_close(0.1 * model.excitation.mixing @ coefficients, z)


def test_swaps_let_two_flows_in_a_row_move_every_channel():
    order, kept = torch.arange(8.0), []
    for conv in WaveGlow(lapped_config(group_size=8, flows=4)).convinv:
        order = conv.matrix() @ order
        kept.append(set(order[:4].round().int().tolist()))
    assert kept == [{0, 2, 4, 6}, {1, 3, 5, 7}, {0, 1, 4, 5}, {2, 3, 6, 7}]


def test_parameters_have_the_published_shapes():
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in WaveGlow(published()).state_dict().items()}
    expected = {"condition.upsample.weight": (80, 80, 1024), "condition.upsample.bias": (80,)}
    for k, channels in enumerate(CHANNELS):
        half, network = channels // 2, f"couplings.{k}.network"
        expected[f"convinv.{k}.weight"] = (channels, channels)
        layers = {"start": (256, half, 1, 1), "cond_layer": (4096, 640, 1, 1), "end": (channels, 256, 1, 1)}
        layers |= {f"in_layers.{i}": (512, 256, 1, 3) for i in range(8)}
        layers |= {f"res_skip_layers.{i}": (512 if i < 7 else 256, 256, 1, 1) for i in range(8)}
        for layer, shape in layers.items():
            expected[f"{network}.{layer}.weight"] = shape
            expected[f"{network}.{layer}.bias"] = shape[:1]
    assert shapes == expected


@float64
def test_early_channels_are_the_first_of_z():
    config = dataclasses.replace(published(), n_mels=2, cond_channels=16, stack=WaveNetConfig(4, (1,)))
    model = WaveGlow(config)
    with torch.no_grad():
        for k, channels in enumerate(CHANNELS):
            model.convinv[k].weight.copy_((k + 1) * torch.eye(channels))
    z, _ = model(torch.ones(1, 256), torch.zeros(1, 2, 1))
    product = torch.arange(1.0, 13.0).cumprod(0)
    expected = torch.cat([product[3].repeat(2), product[7].repeat(2), product[11].repeat(4)])
    torch.testing.assert_close(z[0], expected[:, None].expand(8, 32))
