import pytest
import torch
from exactness import jacobian
from tiny_models import perturbed

from training.density.vae import VAEConfig, VariationalAutoencoder

pytestmark = pytest.mark.usefixtures("float64")


def model(scale=0.3, **changes):
    values = {"channels": 3, "frames": 2, "latent": 2, "hidden": (8,), "flows": 2, "flow_hidden": (6,)}
    return perturbed(VariationalAutoencoder(VAEConfig(**(values | {"context": 2} | changes))), scale).eval()


@pytest.mark.parametrize("kind", ["iaf_vae", "vae"])
def test_the_posterior_computes_the_density_of_its_codes(kind):
    vae, x, noise = model(kind=kind, latent=4), torch.randn(3, 3, 2), torch.randn(3, 4)
    code, log_q = vae.encode(x, noise)
    assert code.shape == (3, 4)
    for i in range(3):
        matrix = jacobian(lambda n, i=i: vae.encode(x[i : i + 1], n), noise[i])
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise[i]).sum()
        torch.testing.assert_close(log_q[i], normal - torch.linalg.slogdet(matrix)[1])


@pytest.mark.parametrize("kind", ["iaf_vae", "vae"])
@torch.no_grad()
def test_the_bound_is_below_the_likelihood_and_tightened_by_importance_samples(kind):
    """The exact likelihood is integrated over a grid of two-dimensional codes."""
    vae, x = model(kind=kind), torch.randn(1, 3, 2)
    axis = torch.linspace(-7, 7, 141)
    codes = torch.cartesian_prod(axis, axis)
    whitened, log_det = vae.whitening(x)
    joint = vae.log_likelihood(whitened.expand(len(codes), -1, -1), codes) + log_det
    joint = joint + torch.distributions.Normal(0.0, 1.0).log_prob(codes).sum(dim=1)
    log_p = joint.logsumexp(dim=0) + 2 * torch.log(axis[1] - axis[0])
    bounds = vae(x.expand(400, -1, -1))
    assert bounds.mean() < log_p
    tighter = vae.log_prob(x.expand(50, -1, -1), samples=40)
    assert bounds.mean() < tighter.mean()
    assert abs(float(tighter.exp().mean().log() - log_p)) < 0.1
    assert abs(float(bounds.exp().mean().log() - log_p)) < 0.25  # importance weights have mean p(x)


def test_every_parameter_has_a_gradient():
    vae = model(latent=3)
    (-vae(torch.randn(5, 3, 2)).mean()).backward()
    assert [name for name, value in vae.named_parameters() if value.grad is None or not value.grad.any()] == []
