import dataclasses

import numpy as np
import pytest
import torch
from scipy import linalg, signal

from vocoder.config import ConfigError
from vocoder.flows.linear_prediction import LinearPrediction, LinearPredictionConfig, levinson, predict
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.spectrogram import MelSpectrogram

AR = np.array([1.3, -0.9, 0.2, -0.1])  # stable: x_t = 1.3 x_{t-1} - 0.9 x_{t-2} + ...
SMALL = MelConfig("small", 8000, 64, 64, 16, 12, 0.0, 4000.0)
POLES = [0.97 * np.exp(0.3j), 0.97 * np.exp(-0.3j), 0.9 * np.exp(1.4j), 0.9 * np.exp(-1.4j)]


def test_predictors_solve_the_normal_equations_and_are_stable_filters():
    power = torch.exp(torch.randn(3, 2, 129, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    r = torch.fft.irfft(power)[..., :13]
    coefficients, error = levinson(r)
    for index in np.ndindex(3, 2):
        row = r[index].numpy()
        expected = linalg.solve_toeplitz(row[:-1], row[1:])
        np.testing.assert_allclose(coefficients[index].numpy(), expected, rtol=1e-9, atol=1e-12)
        assert float(error[index]) == pytest.approx(row[0] - expected @ row[1:], rel=1e-9)
    _, response = signal.freqz([1.0], np.concatenate([[1.0], -AR]), worN=2049, include_nyquist=True)
    coefficients, error = levinson(torch.fft.irfft(torch.from_numpy(0.04 * np.abs(response) ** 2))[:7])
    np.testing.assert_allclose(coefficients.numpy(), [*AR, 0.0, 0.0], atol=1e-9)
    assert float(error) == pytest.approx(0.04, rel=1e-9)
    power = torch.full((513,), 1e-8, dtype=torch.float64)
    power[[20, 21, 100, 101]] = 1e3
    lags = LinearPrediction(preset("nvidia"), LinearPredictionConfig(order=24, bandwidth=30.0)).lags
    coefficients, error = levinson(torch.fft.irfft(power)[:25] * lags)
    assert np.abs(np.roots(np.concatenate([[1.0], -coefficients.numpy()]))).max() < 1
    assert float(error) > 0


def test_each_block_is_predicted_with_its_own_filter():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 12))
    coefficients = rng.standard_normal((2, 3, 5))
    found = predict(torch.from_numpy(x), torch.from_numpy(coefficients)).numpy()
    for item, t in np.ndindex(2, 12):
        past = [x[item, t - k] if t >= k else 0.0 for k in range(1, 6)]
        assert found[item, t] == pytest.approx(coefficients[item, t // 4] @ past, abs=1e-12)


def flatness(x):
    """Return the mean log power minus the log of the mean power: 0 for white noise."""
    _, power = signal.welch(x.flatten().numpy(), nperseg=256)
    return float(np.mean(np.log(power[1:-1])) - np.log(np.mean(power[1:-1])))


def test_the_residual_of_an_autoregressive_process_is_white_with_unit_variance():
    mel_config = preset("nvidia")
    innovation = 0.01 * np.random.default_rng(0).standard_normal(256 * 100 + 2000)
    x = torch.from_numpy(signal.lfilter([1.0], np.poly(POLES).real, innovation)[2000:])[None]
    mel = MelSpectrogram(mel_config)(x.float())[:, :, :100].double()
    # the process fills all frequencies: hold the envelope above the mel's last band
    coefficients, log_gain = LinearPrediction(mel_config, LinearPredictionConfig(above_db=0.0)).predictors(mel)
    z = (x - predict(x, coefficients)) * torch.exp(-log_gain.repeat_interleave(64, dim=1))
    assert flatness(x) < -1.5
    assert flatness(z) > -0.35  # an estimate by 199 averages leaves about -0.01
    assert 0.7 < float(z[:, 256:].std()) < 1.4
    assert float(log_gain.mean().exp()) == pytest.approx(0.01, rel=0.25)


def test_mels_are_interpolated_to_the_middle_of_each_block():
    flow = LinearPrediction(SMALL, LinearPredictionConfig(order=5, subframes=2, noise=1e-9, bandwidth=0.0))
    _, log_gain = flow.predictors(torch.tensor([0.0, 1.0], dtype=torch.float64).expand(1, 12, 2))
    torch.testing.assert_close(log_gain.diff(), torch.tensor([[0.5, 0.25, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("log", ["ln", "log10"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_gain_of_white_noise_is_its_standard_deviation_for_every_mel_config(log, power):
    config = dataclasses.replace(SMALL, log=log, power=power)
    x = 0.05 * torch.randn(1, 16 * 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mel = MelSpectrogram(config)(x)[:, :, :500]
    _, log_gain = LinearPrediction(config, LinearPredictionConfig(order=4)).predictors(mel)
    # the gain is slightly low: a predictor explains some of the scatter of short frames
    assert float(log_gain.mean().exp()) == pytest.approx(0.05, rel=0.2)


def test_mels_without_an_inverse_and_invalid_settings_are_rejected():
    clipped = dataclasses.replace(SMALL, log="db20", ref_db=20.0, range_db=100.0)
    for mel_config, settings, message in (
        (clipped, {}, "plain logarithmic mels, unlike preset 'small'"),
        (SMALL, {"subframes": 3}, "hop_length 16 must be a multiple of 3 subframes"),
        (SMALL, {"order": 0}, "order must be at least 1"),
        (SMALL, {"noise": 0.0}, "noise must be above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            LinearPrediction(mel_config, LinearPredictionConfig(**settings))
