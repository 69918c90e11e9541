import math
from functools import partial

import pytest
import torch
from tiny_models import constant_net
from torch.distributions import Normal, kl_divergence

from training.losses.kl import Draw, divergence, gaussian_kl
from training.losses.pitch import pitch_loss
from training.losses.spectral import MultiScaleMel, periodicity_loss, power_loss, spectrum, stft_loss
from vocoder.distributions import ENTROPY, Gaussian, LogisticMixture, log_density
from vocoder.layers.conditioning import PitchConfig

FLOOR = -30.0
CONFIG = PitchConfig(channels=4, layers=1, kernel_size=3, f0_min=50.0, f0_max=800.0, bins=17)
MEL = torch.zeros(1, 3, 4)
LENGTH = 8192
PERIODICITY = partial(periodicity_loss, sample_rate=22050)
SILENCE = torch.zeros(1, LENGTH)


def drawn(mu, log_s):
    """Return a draw of independent samples (B, T) with these conditionals."""
    return Draw(mu + torch.exp(log_s) * torch.randn_like(mu), (log_s + ENTROPY).sum(dim=1), mu, log_s)


def parameters(batch=4, length=50):
    return tuple(torch.randn(batch, length, dtype=torch.float64) for _ in range(4))


def test_the_closed_form_equals_the_divergence_of_two_normals():
    mu_q, log_s_q, mu_p, log_s_p = parameters()
    expected = kl_divergence(Normal(mu_q, log_s_q.exp()), Normal(mu_p, log_s_p.exp()))
    torch.testing.assert_close(gaussian_kl(mu_q, log_s_q, mu_p, log_s_p), expected)
    params = torch.stack([mu_p, log_s_p], dim=1)
    found = divergence(drawn(mu_q, log_s_q), params, Gaussian(), "closed", log_s_floor=FLOOR)
    torch.testing.assert_close(found["kl"], expected.mean(dim=1))
    torch.testing.assert_close(found["kl"], found["cross_entropy"] - found["entropy"])
    torch.testing.assert_close(found["regulariser"], (log_s_q - log_s_p).square().mean(dim=1))


def test_draws_and_samples_converge_to_the_closed_form():
    mu_q, log_s_q, mu_p, log_s_p = torch.tensor([0.3, -0.5, 0.0, 0.1]).double()[:, None, None].expand(-1, 2, 4000)
    draw, params = drawn(mu_q, log_s_q), torch.stack([mu_p, log_s_p], dim=1)
    closed = divergence(draw, params, Gaussian(), "closed", log_s_floor=FLOOR)["kl"]
    for estimator, draws, tolerance in (("draws", 64, 0.005), ("draws", 1, 0.04), ("sample", 1, 0.04)):
        found = divergence(draw, params, Gaussian(), estimator, draws=draws)["kl"]
        torch.testing.assert_close(found, closed, rtol=0, atol=tolerance)


def test_the_divergence_of_a_normal_from_a_mixture_matches_quadrature():
    """With a single conditional, the integral of q log(q / p) can be computed on a grid."""
    mixture = LogisticMixture(2)
    mu, log_s = torch.full((1, 3000), 0.2, dtype=torch.float64), torch.full((1, 3000), -1.0, dtype=torch.float64)
    one = torch.tensor([0.3, -0.4, -0.5, 0.6, -1.5, -0.2], dtype=torch.float64)
    estimate = divergence(drawn(mu, log_s), one[None, :, None].expand(1, -1, 3000), mixture, "draws", draws=32)
    grid = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    log_q = log_density((grid - 0.2) * math.e) + 1.0
    log_p = mixture.log_prob(one[None, :, None].expand(1, -1, len(grid)), grid[None])[0]
    expected = float(torch.trapezoid(log_q.exp() * (log_q - log_p), grid))
    assert float(estimate["kl"]) == pytest.approx(expected, abs=0.01)
    assert float(estimate["entropy"]) == pytest.approx(float(torch.trapezoid(-log_q.exp() * log_q, grid)), abs=1e-6)


@pytest.mark.parametrize("estimator", ["draws", "sample"])
def test_gradients_pass_through_the_draws(estimator):
    """The expected gradient of the estimate for mu and log_s is that of the closed form."""
    mu, log_s = (torch.full((1, 20_000), value, dtype=torch.float64, requires_grad=True) for value in (0.4, -0.3))
    params = torch.zeros(1, 2, 20_000, dtype=torch.float64)
    kl = divergence(drawn(mu, log_s), params, Gaussian(), estimator, draws=4)["kl"]
    by_mu, by_log_s = torch.autograd.grad(kl.sum(), [mu, log_s])
    assert float(by_mu.sum()) == pytest.approx(0.4, abs=0.02)
    assert float(by_log_s.sum()) == pytest.approx(math.exp(-0.6) - 1, abs=0.03)


def test_unsupported_estimators_are_rejected():
    mu, log_s, mu_p, log_s_p = parameters()
    draw, params = drawn(mu, log_s), torch.stack([mu_p, log_s_p], dim=1)
    with pytest.raises(ValueError, match="conditionals"):
        divergence(Draw(draw.x, draw.entropy), params, Gaussian(), "closed")
    with pytest.raises(ValueError, match="Gaussian"):
        divergence(draw, torch.zeros(4, 6, 50), LogisticMixture(2), "closed")


def bell_net(bin_, voicing):
    """Return a network whose pitch is always that of a class, with a constant voicing logit."""
    return constant_net(CONFIG, -0.5 * (torch.arange(17) - bin_).square(), voicing)


def loss(net, *f0):
    return pitch_loss(net, MEL, torch.tensor([f0])).item()


def test_the_pitch_loss_is_lowest_at_the_true_pitch_and_skips_unvoiced_frames():
    f0 = [200.0] * 4  # the ninth of four octaves in sixteen steps
    values = [loss(bell_net(n, 3.0), *f0) for n in range(17)]
    assert values.index(min(values)) == 8
    bell = torch.softmax(-0.5 * (torch.arange(17) - 8.0).square(), dim=0)
    expected = -(bell * bell.log()).sum() + torch.nn.functional.softplus(torch.tensor(-3.0))
    assert abs(values[8] - float(expected)) < 1e-5
    for bin_, f0, voiced in ((2, 0.0, -1), (0, 40.0, 1), (0, 900.0, 1)):
        assert abs(loss(bell_net(bin_, 30.0 * voiced), *[f0] * 4)) < 1e-5
        assert loss(bell_net(bin_, -30.0 * voiced), *[f0] * 4) > 29
    assert abs(loss(bell_net(8, 0.0), 200.0, 0.0, 0.0, 0.0) - loss(bell_net(8, 0.0), *[200.0] * 4)) < 1e-5


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_fft", [256, 2048])
def test_white_noise_of_variance_1_has_power_1(n_fft):
    power = spectrum(noise(0, 4, 65536), n_fft).abs().square()
    assert power.shape == (4, n_fft // 2 + 1, 1 + 65536 // (n_fft // 4))
    assert abs(float(power[:, 1:-1].mean()) - 1) < 0.05


def test_spectral_losses_of_gains_and_at_floors():
    x = noise(0, 2, LENGTH)
    for gain in (1.0, 0.5, 2.0, 3.0):
        expected = pytest.approx(abs(gain - 1) + abs(math.log(gain)), rel=1e-3, abs=1e-5)
        assert [float(stft_loss(sign * gain * x, x)) for sign in (1, -1)] == [expected, expected]
    assert float(stft_loss(SILENCE, SILENCE)) == 0.0
    assert float(stft_loss(1e-6 * noise(0, 1, LENGTH), SILENCE)) < 1e-3
    assert float(stft_loss(1e-2 * noise(0, 1, LENGTH), SILENCE)) == pytest.approx(100 + math.log(100), rel=0.1)
    loss = MultiScaleMel(22050)
    assert [float(loss(gain * x, x)) for gain in (1, 2)] == [0.0, pytest.approx(math.log(2), abs=1e-3)]
    assert float(loss(1e-7 * x, torch.zeros_like(x))) < 2e-3  # values below the floor hardly count


def test_the_periodicity_loss_only_depends_on_the_period():
    time = torch.arange(16384).double() / 22050
    pulses, other = (sum(torch.cos(2 * math.pi * f0 * k * time + k * k) for k in range(1, 61)) for f0 in (100, 130))
    sounds = (-3 * pulses, pulses.flip(0), pulses + noise(0, 16384), other)
    found = [float(PERIODICITY(x[None], pulses[None])) for x in sounds]
    assert found[0] < 1e-5 < found[1] < 5e-3 < 0.01 < found[2] < 0.05 < found[3]  # other phases, noise, another pitch


@pytest.mark.parametrize("loss", [stft_loss, MultiScaleMel(22050), power_loss, PERIODICITY])
def test_gradients_are_finite_in_silence(loss):
    x_hat = torch.zeros(1, LENGTH, requires_grad=True)
    loss(x_hat, noise(0, 1, LENGTH)).backward()
    assert torch.isfinite(x_hat.grad).all()


def test_power_follows_amplitude_and_frequency_but_not_time():
    x, y = noise(0, 2, LENGTH), noise(1, 2, LENGTH)
    for x_hat, distance in ((x, 0.0), (2 * x, 9.0), (0 * x, 1.0)):
        assert float(power_loss(x_hat, x)) == pytest.approx(distance, rel=1e-4)
    assert float(power_loss(0.01 * y, 0.01 * x)) == pytest.approx(float(power_loss(y, x)), rel=1e-3)
    assert math.isfinite(float(power_loss(1e-5 * y, SILENCE)))
    time = torch.arange(16384) / 16384
    window = (time < 0.4).float() * torch.sin(math.pi * time / 0.4).square()
    tone = 0.3 * torch.sin(2 * math.pi * 2048 * time) * window
    late, other = tone.roll(8192), 0.3 * torch.sin(2 * math.pi * 3072 * time) * window
    assert float(power_loss(late[None], tone[None])) < 1e-3
    assert float(power_loss(other[None], tone[None])) == pytest.approx(2.0, rel=0.01)
