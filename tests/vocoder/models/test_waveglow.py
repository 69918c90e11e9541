"""WaveGlow, published and ours."""

import pytest
import torch
from tiny_models import TINY_CONFIGS, grouping_config, lapped_config, stirred, tiny_synthesizer, tiny_waveglow

from vocoder.config import ConfigError
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.layers.source.pitch import PitchConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import SourceConfig
from vocoder.sampling import Utterance

float64 = pytest.mark.usefixtures("float64")
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

    def chunk(z: torch.Tensor, mel: torch.Tensor) -> torch.Tensor:
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
    assert model.excitation is not None
    coefficients, _ = model.transform(x.unsqueeze(1))
    z, _ = model(x, mel)  # envelope and couplings start as the identity
    torch.testing.assert_close(0.1 * model.excitation.mixing @ coefficients, z)


def test_swaps_let_two_flows_in_a_row_move_every_channel():
    order, kept = torch.arange(8.0), []
    for conv in WaveGlow(lapped_config(group_size=8, flows=4)).convinv:
        assert isinstance(conv, InvertibleConv1x1)
        order = conv.matrix() @ order
        kept.append(set(order[:4].round().int().tolist()))
    assert kept == [{0, 2, 4, 6}, {1, 3, 5, 7}, {0, 1, 4, 5}, {2, 3, 6, 7}]


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (lapped_config, {"group_size": 0}, "group_size must be at least 1, not 0"),
        (lapped_config, {"cond_channels": 0}, "cond_channels must be at least 1"),
        (lapped_config, {"group_size": 3}, "hop_length 8 must be a multiple of group_size 3"),
        (lapped_config, {"group_size": 1}, "even group_size, not 1"),
        (lapped_config, {"early_every": 2}, "early outputs belong to grouping"),
        (lapped_config, {"sample_rate": 6000}, "harmonics up to 3550.0 Hz do not fit a sample_rate of 6000 Hz"),
        (lapped_config, {"flows": 0}, "at least one flow"),
        (lapped_config, {"sigma": -0.1}, "sigma of 0 or more"),
        (grouping_config, {"source": SourceConfig()}, "needs the lapped transform"),
        (grouping_config, {"early_size": 3}, "leave 1 channels; at least 2 must remain"),
        (grouping_config, {"cond_channels": 21}, "cond_channels 20: n_mels"),
        (grouping_config, {"upsample_kernel": 7}, "upsample_kernel must be hop_length or more, not 7"),
        (
            lambda pitch, f_max: SourceConfig(pitch, f_max),
            {"pitch": PitchConfig(f0_max=900.0), "f_max": 800.0},
            "above the highest pitch",
        ),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(make, changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)
