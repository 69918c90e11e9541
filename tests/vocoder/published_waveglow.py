"""The published WaveGlow written straightforwardly.

Channels-first 1-d convolutions in float32, as the formulas of Prenger, Valle and Catanzaro, "WaveGlow: A flow-based
generative network for speech synthesis" (2018) read: a transposed convolution takes the mel to the rate of samples,
the samples of a group become channels, and twelve times an invertible 1x1 convolution mixes them before a coupling
scales and shifts one half by a gated dilated network of the other half and the mel. Weight normalisation is active in
training and folded for sampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

__all__ = ["PublishedWaveGlow", "differences", "with_weights_of"]


class GatedNetwork(nn.Module):
    """Dilated convolutions with gates; the projected mel is added before each gate."""

    def __init__(self, in_channels: int, cond_channels: int, config: WaveGlowConfig) -> None:
        super().__init__()
        width, dilations = config.stack.channels, config.stack.dilations
        self.width = width
        self.start = weight_norm(nn.Conv1d(in_channels, width, 1))
        self.cond_layer = weight_norm(nn.Conv1d(cond_channels, 2 * width * len(dilations), 1))
        self.in_layers = nn.ModuleList(
            weight_norm(nn.Conv1d(width, 2 * width, 3, dilation=d, padding=d)) for d in dilations
        )
        self.res_skip_layers = nn.ModuleList(
            weight_norm(nn.Conv1d(width, width * (2 if i + 1 < len(dilations) else 1), 1))
            for i in range(len(dilations))
        )
        self.end = nn.Conv1d(width, 2 * in_channels, 1)

    def forward(self, half: Tensor, cond: Tensor) -> Tensor:
        """Return shift and log-scale (B, 2 * in_channels, steps)."""
        width, hidden, cond = self.width, self.start(half), self.cond_layer(cond)
        total = torch.zeros_like(hidden)
        for i, (in_layer, res_skip) in enumerate(zip(self.in_layers, self.res_skip_layers, strict=True)):
            gates = in_layer(hidden) + cond[:, 2 * width * i : 2 * width * (i + 1)]
            out = res_skip(torch.tanh(gates[:, :width]) * torch.sigmoid(gates[:, width:]))
            if i < len(self.in_layers) - 1:
                hidden = hidden + out[:, :width]
                total = total + out[:, width:]
            else:
                total = total + out
        result = self.end(total)
        assert isinstance(result, Tensor)
        return result


class PublishedWaveGlow(nn.Module):
    """WaveGlow as published; `forward` and `inverse` have the arguments and results of `vocoder.WaveGlow`."""

    def __init__(self, config: WaveGlowConfig) -> None:
        super().__init__()
        self.config = config
        self.upsample = nn.ConvTranspose1d(
            config.n_mels, config.n_mels, config.upsample_kernel, stride=config.hop_length
        )
        self.matrices = nn.ParameterList()
        self.networks = nn.ModuleList()
        channels = config.group_size
        for i in range(config.flows):
            channels -= config.early_size if self._exits_before(i) else 0
            self.matrices.append(torch.linalg.qr(torch.randn(channels, channels))[0])
            self.networks.append(GatedNetwork(channels // 2, config.n_mels * config.group_size, config))

    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio (B, T) and mel (B, n_mels, frames) to z (B, group_size, steps) and log_det (B,)."""
        cond = self._condition(mel)
        z = x.unfold(1, self.config.group_size, self.config.group_size).transpose(1, 2)
        log_det, early = x.new_zeros(x.shape[0]), []
        for i, (matrix, network) in enumerate(zip(self.matrices, self.networks, strict=True)):
            if self._exits_before(i):
                early.append(z[:, : self.config.early_size])
                z = z[:, self.config.early_size :]
            z = nn.functional.conv1d(z, matrix[:, :, None])
            half = z.shape[1] // 2
            t, log_s = network(z[:, :half], cond).chunk(2, dim=1)
            z = torch.cat([z[:, :half], torch.exp(log_s) * z[:, half:] + t], dim=1)
            log_det = log_det + z.shape[2] * torch.linalg.slogdet(matrix)[1] + log_s.sum(dim=(1, 2))
        return torch.cat([*early, z], dim=1), log_det

    @torch.no_grad()
    def inverse(self, z: Tensor, mel: Tensor) -> Tensor:
        """Map noise (B, group_size, steps) and mel (B, n_mels, frames) to audio (B, T)."""
        cond, size = self._condition(mel), self.config.early_size
        first = sum(map(self._exits_before, range(self.config.flows))) * size
        x = z[:, first:]
        for i in reversed(range(self.config.flows)):
            matrix, network, half = self.matrices[i], self.networks[i], x.shape[1] // 2
            t, log_s = network(x[:, :half], cond).chunk(2, dim=1)
            x = torch.cat([x[:, :half], (x[:, half:] - t) / torch.exp(log_s)], dim=1)
            x = nn.functional.conv1d(x, torch.linalg.inv(matrix)[:, :, None])
            if self._exits_before(i):
                x = torch.cat([z[:, first - size : first], x], dim=1)
                first -= size
        return x.transpose(1, 2).flatten(1)

    def folded(self) -> PublishedWaveGlow:
        """Fold the weight normalisation into the weights, for sampling, and return the model."""
        for module in list(self.modules()):
            if is_parametrized(module):
                remove_parametrizations(module, "weight")
        return self.eval()

    def _condition(self, mel: Tensor) -> Tensor:
        """Return the mel (B, n_mels * group_size, steps) at the rate of the groups."""
        samples = self.upsample(mel)[:, :, : mel.shape[2] * self.config.hop_length]
        groups: Tensor = samples.unfold(2, self.config.group_size, self.config.group_size)
        return groups.permute(0, 1, 3, 2).flatten(1, 2)

    def _exits_before(self, flow: int) -> bool:
        return flow > 0 and flow % self.config.early_every == 0


@torch.no_grad()
def with_weights_of(model: WaveGlow) -> PublishedWaveGlow:
    """Return the yardstick with the weights of a WaveGlow of the published kind."""
    yardstick = PublishedWaveGlow(model.config)
    yardstick.upsample.load_state_dict(model.get_submodule("condition.upsample").state_dict())
    for i, network in enumerate(yardstick.networks):
        conv = model.convinv[i]
        assert isinstance(conv, InvertibleConv1x1)
        yardstick.matrices[i].copy_(conv.matrix())
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv1d):
                ours = model.get_submodule(f"couplings.{i}.network.{name}")
                assert isinstance(ours, nn.Conv2d)
                weight = nn.Parameter(ours.weight[:, :, 0])
                # assigning to a normalised weight sets its direction and length
                layer.weight = weight.data if is_parametrized(layer) else weight
                layer.load_state_dict({"bias": ours.bias}, strict=False)
    return yardstick


@torch.no_grad()
def differences(config: WaveGlowConfig, frames: int = 16) -> dict[str, float]:
    """Return the largest differences between `vocoder.WaveGlow` and the yardstick on the same random weights."""
    model = WaveGlow(config)
    for coupling in model.couplings:
        nn.init.normal_(coupling.get_parameter("network.end.weight"), std=0.01)
    yardstick = with_weights_of(model)
    x, mel = 0.1 * torch.randn(1, frames * config.hop_length), torch.randn(1, config.n_mels, frames) - 5.0
    (z, log_det), (expected_z, expected_log_det) = model(x, mel), yardstick(x, mel)
    sampled, expected_sampled = model.inverse(z, mel)[0], yardstick.folded().inverse(z, mel)
    return {
        "z": float((z - expected_z).abs().max()),
        "log_det per sample": float((log_det - expected_log_det).abs().max() / x.shape[1]),
        "x": float((sampled - expected_sampled).abs().max()),
    }
