"""What the benchmarks of densities compare is comparable: models of the same size that start from the same Gaussian."""

import pytest
import torch

from benchmarks.density import configurations, ours, theirs
from benchmarks.density_fitting import Fit, fit, load, pool, score


@pytest.fixture(scope="module")
def digits():
    return load("digits", "", 8)


@pytest.mark.parametrize("kind", ["nice", "realnvp", "maf"])
def test_zukos_models_are_as_large_as_ours(digits, kind):
    config, x = configurations(digits)[kind], pool(digits.train, 1)
    mine, other = ours(config, x, 0), theirs(config, x, 0)
    assert mine.parameters == pytest.approx(other.parameters, rel=0.002)


def test_all_start_from_the_gaussian(digits):
    x = pool(digits.train, 1)
    gaussian, maf = (ours(configurations(digits)[kind], x, 0) for kind in ("gaussian", "maf"))
    with torch.no_grad():
        torch.testing.assert_close(maf.log_prob(x[:50]), gaussian.log_prob(x[:50]), rtol=1e-4, atol=1e-3)
    before = score(maf.module, maf.log_prob, digits.validation)
    fit(maf.module, maf.log_prob, digits, Fit(20), maf.frozen)
    assert score(maf.module, maf.log_prob, digits.validation) < before
