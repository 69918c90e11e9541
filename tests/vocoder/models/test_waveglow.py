"""WaveGlow, and the reverse model that inherits its first and last layers."""

import pytest
import torch
from tiny_models import TINY_CONFIGS, lapped_config, perturbed, tiny_reverse, tiny_waveglow

from training.start.inheritance import inherit_ends
from vocoder.layers.conditioning import normalised
from vocoder.models.waveglow import WaveGlow, published
from vocoder.stages import MEL, NOISE, Z, run

float64 = pytest.mark.usefixtures("float64")
every_kind = pytest.mark.parametrize("kind", TINY_CONFIGS)


@float64
@every_kind
def test_the_density_of_a_linear_model_is_normal(kind):
    model = WaveGlow(TINY_CONFIGS[kind]())
    perturbed(model.convinv, 0.3)
    if model.envelope is not None:
        perturbed(model.envelope)
    mel, x = torch.randn(1, 5, 3), torch.randn(1, 24)
    with torch.no_grad():
        mean, _ = model.inverse(torch.zeros(model.noise_shape(1, 3)), mel)
    matrix = torch.autograd.functional.jacobian(lambda v: model(v, mel)[0].flatten(), x).reshape(24, 24)
    normal = torch.distributions.MultivariateNormal(mean[0], precision_matrix=matrix.T @ matrix)
    torch.testing.assert_close(model.log_prob(x, mel), normal.log_prob(x), atol=1e-8, rtol=1e-9)


@float64
def test_the_source_is_initially_mixed_as_the_flow_maps_it():
    model = WaveGlow(lapped_config(envelope_floor=-100.0))
    x, mel = torch.randn(1, 24), torch.randn(1, 5, 3)
    coefficients, _ = model.transform(x.unsqueeze(1))
    z, _ = model(x, mel)  # envelope and couplings start as the identity
    torch.testing.assert_close(0.1 * model.excitation.mixing @ coefficients, z)


def test_the_published_model_has_the_right_size_and_swaps_move_every_channel():
    with torch.device("meta"):
        model = WaveGlow(published())
    assert [len(conv.weight) for conv in model.convinv] == [8, 8, 8, 8, 6, 6, 6, 6, 4, 4, 4, 4]
    assert sum(parameter.numel() for parameter in model.parameters()) == 87_731_816
    order, kept = torch.arange(8.0), []
    for conv in WaveGlow(lapped_config(group_size=8, flows=4)).convinv:
        order = conv.matrix() @ order
        kept.append(set(order[:4].round().int().tolist()))
    assert kept == [{0, 2, 4, 6}, {1, 3, 5, 7}, {0, 1, 4, 5}, {2, 3, 6, 7}]


@float64
def test_reverse_inherits_the_prior_envelope_and_transform_of_its_waveglow():
    teacher = tiny_waveglow("lapped", group_size=8)
    student = tiny_reverse(source=teacher.config.source, condition_ahead=3)
    inherit_ends(student, teacher)
    student.pitch.load_state_dict(teacher.pitch.state_dict())
    noise, mel = torch.randn(student.noise_shape(1, 30)), torch.randn(1, 5, 30)
    z, expected = (run(model.stages(), {MEL: mel, NOISE: noise}, Z).signal for model in (student, teacher))
    torch.testing.assert_close(z, expected)
    with torch.no_grad():
        coefficients = torch.randn(1, 8, 30)
        spectrum, _ = teacher.envelope.inverse(coefficients, normalised(mel))
        x = teacher.transform.inverse(spectrum)[0][:, 0]
        spectrum, _ = student.envelope.inverse(coefficients, normalised(mel))
        torch.testing.assert_close(student.transform.inverse(spectrum)[0][:, 0], x)
