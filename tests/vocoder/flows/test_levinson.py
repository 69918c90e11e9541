"""Linear prediction against scipy and known autoregressive processes."""

import numpy as np
import pytest
import torch
from scipy import linalg, signal

from vocoder.flows.linear_prediction import autocorrelation, lag_window, levinson, predict

AR = np.array([1.3, -0.9, 0.2, -0.1])  # stable: x_t = 1.3 x_{t-1} - 0.9 x_{t-2} + ...


def ar_power(coefficients: np.ndarray, variance: float, bins: int) -> torch.Tensor:
    _, response = signal.freqz([1.0], np.concatenate([[1.0], -coefficients]), worN=bins, include_nyquist=True)
    return torch.from_numpy(variance * np.abs(response) ** 2)


def test_the_spectrum_of_an_autoregressive_process_gives_its_coefficients_back() -> None:
    power = ar_power(AR, 0.04, 2049)
    coefficients, error = levinson(autocorrelation(power, 6))
    np.testing.assert_allclose(coefficients.numpy(), [*AR, 0.0, 0.0], atol=1e-9)
    assert float(error) == pytest.approx(0.04, rel=1e-9)


def test_levinson_solves_the_normal_equations_of_a_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    power = torch.exp(torch.randn(3, 2, 129, dtype=torch.float64, generator=generator))
    r = autocorrelation(power, 12)
    coefficients, error = levinson(r)
    for index in np.ndindex(3, 2):
        row = r[index].numpy()
        expected = linalg.solve_toeplitz(row[:-1], row[1:])
        np.testing.assert_allclose(coefficients[index].numpy(), expected, rtol=1e-9, atol=1e-12)
        assert float(error[index]) == pytest.approx(row[0] - expected @ row[1:], rel=1e-9)


def test_predictors_are_stable_however_sharp_the_spectrum() -> None:
    power = torch.full((513,), 1e-8, dtype=torch.float64)
    power[[20, 21, 100, 101]] = 1e3
    coefficients, error = levinson(autocorrelation(power, 24) * lag_window(24, 22050, 30.0))
    roots = np.roots(np.concatenate([[1.0], -coefficients.numpy()]))
    assert np.abs(roots).max() < 1
    assert float(error) > 0


def test_predictions_are_those_of_the_filter_of_each_block() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 12))
    coefficients = rng.standard_normal((2, 3, 5))
    found = predict(torch.from_numpy(x), torch.from_numpy(coefficients)).numpy()
    for item, t in np.ndindex(2, 12):
        past = [x[item, t - k] if t >= k else 0.0 for k in range(1, 6)]
        assert found[item, t] == pytest.approx(coefficients[item, t // 4] @ past, abs=1e-12)
