"""The maximum-likelihood Gaussian in closed form."""

import torch
from torch import Tensor

from vocoder.flows.affine import ElementwiseAffine, LowerAffine


@torch.no_grad()
def fit_gaussian(flow: LowerAffine | ElementwiseAffine, x: Tensor) -> None:
    """Set a flow to the maximum-likelihood Gaussian of all time steps of signals x (B, C, T), in float64.

    Raises ValueError if the covariance is singular.
    """
    rows = x.transpose(1, 2).flatten(0, 1).to("cpu", torch.float64)
    mean = rows.mean(dim=0)
    scale = (rows - mean).square().mean(dim=0).sqrt()
    factor, failed = torch.diag(scale), torch.tensor(False)
    if isinstance(flow, LowerAffine):
        factor, failed = torch.linalg.cholesky_ex(torch.cov(rows.T, correction=0).reshape(len(mean), -1))
    spread = factor.diagonal()
    if bool(failed) or bool((spread <= 1e-7 * scale).any()):
        raise ValueError(
            "the covariance of the data is singular: a channel is constant or a combination of others, or there are "
            "fewer data than channels; add noise or data"
        )
    flow.t.copy_(mean[:, None])
    flow.log_scale.copy_(spread.log().view_as(flow.log_scale))
    if isinstance(flow, LowerAffine):
        matrix = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
        flow.lower.copy_(matrix.tril(-1))
