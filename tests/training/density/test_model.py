from typing import get_args

import pytest
import torch
from exactness import assert_exact
from tiny_models import perturbed

from training.density.flows import DensityConfig, Kind
from training.density.model import DensityModel
from vocoder.distributions import log_density

pytestmark = pytest.mark.usefixtures("float64")

KINDS = get_args(Kind)
VARIANTS = {
    **{kind: {"kind": kind} for kind in KINDS},
    "maf, not whitened": {"kind": "maf", "whitening": "none"},
    "maf, three generations": {"kind": "maf", "generations": 3},
    "iaf, two generations": {"kind": "iaf", "generations": 2},
    "realnvp, swapped": {"kind": "realnvp", "mixing": "swap", "flows": 3},
    "nice, by rows": {"kind": "nice", "whitening": "elementwise"},
    "cdf, unit interval": {"kind": "cdf", "logit_alpha": 0.05},
    "realnvp image": {"kind": "realnvp", "image": True, "whitening": "elementwise"},
    "glow image": {"kind": "glow", "image": True, "whitening": "dense"},
}


def model(scale=0.2, **changes):
    values = {"channels": 4, "frames": 4 if changes.get("image") else 2, "flows": 2, "hidden": (6, 6)}
    return perturbed(DensityModel(DensityConfig(**(values | changes))), scale).eval()


@pytest.mark.parametrize("name", VARIANTS)
def test_both_directions_are_exact(name):
    flow = model(**VARIANTS[name])
    x = (torch.randn if flow.logit is None else torch.rand)(2, flow.config.channels, flow.config.frames)
    assert_exact(flow, x, torch.randn_like(x) * (1.0 if flow.logit is None else 0.2))  # float64 loses the logit's tails
    x, log_det = flow.inverse(z := torch.randn_like(x))
    torch.testing.assert_close(flow.log_prob(x), log_density(z).sum(dim=(1, 2)) - log_det)


@pytest.mark.parametrize("kind", KINDS)
def test_two_dimensional_densities_integrate_to_one(kind):
    flow = model(0.3, kind=kind, channels=2, frames=1)
    axis = torch.linspace(-1, 1, 301) * 9 * flow.sample(2000).std(dim=0).max()
    grid = torch.cartesian_prod(axis, axis)[:, :, None]
    with torch.no_grad():
        mass = flow.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(float(mass) - 1) < 2e-3


@pytest.mark.parametrize("kind", KINDS)
def test_models_with_fitted_whitening_start_as_a_gaussian(kind):
    """Networks output zeros initially, so the untrained model is its whitening, the maximum likelihood Gaussian."""
    torch.manual_seed(1)
    x = (torch.randn(500, 8) @ torch.randn(8, 8) + torch.randn(8)).reshape(500, 4, 2)
    flow = model(0.0, kind=kind, hidden=(16,))
    flow.fit_whitening(x)
    rows = x.flatten(1)
    covariance = torch.cov(rows.T, correction=0)
    covariance = torch.diag(covariance.diagonal()) if kind == "elementwise" else covariance
    gaussian = torch.distributions.MultivariateNormal(rows.mean(0), covariance).log_prob(rows)
    if kind == "cdf":  # initial mixtures are only approximately normal
        assert abs(float((flow.log_prob(x) - gaussian).mean().detach())) < 0.2 * 8
    else:
        torch.testing.assert_close(flow.log_prob(x), gaussian)
