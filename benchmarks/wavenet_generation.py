"""How fast an autoregressive WaveNet generates on one core, beside the usual PyTorch loop over the same weights.

The usual loop keeps, for each layer, a buffer of the last inputs of its convolution, shifts it by one for every sample
and multiplies: what published implementations of incremental generation do. Both loops make the same audio from the
same noise, which is checked first.

    python -m benchmarks.wavenet_generation
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.checkpoint import load_model
from vocoder.generation.compiled import CompiledGenerator
from vocoder.generation.plan import Plan
from vocoder.loading import model_directory
from vocoder.machine.timing import markdown_table
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

__all__ = ["ShiftBufferLoop"]

REAL_TIME = 22050  # samples per second
RATIO = 25.0  # of the compiled loop to the usual one
TOLERANCE = 1e-4


class ShiftBufferLoop:
    """Generate one utterance sample by sample with modules and shifted buffers."""

    def __init__(self, model: WaveNet, plan: Plan) -> None:
        self.model, self.plan, self.now = model, plan, 0
        stack = model.stack
        width, reach = stack.config.channels, stack.config.kernel_size - 1
        self.layers = [_linear(layer) for layer in stack.in_layers]
        self.res_skip = [_linear(layer) for layer in stack.res_skip_layers]
        self.start, self.end = _linear(stack.start), _linear(stack.end)
        self.buffers = [torch.zeros(1, reach * d + 1, width) for d in stack.config.dilations]
        self.past = torch.zeros(max(plan.order, 1))
        self.excitation = torch.zeros(())

    @torch.no_grad()
    def advance(self, z: Tensor) -> Tensor:
        """Return the next samples x (T,) for noise z (T,)."""
        return torch.stack([self._step(value) for value in z])

    def _step(self, z: Tensor) -> Tensor:
        plan, frame = self.plan, self.now // self.plan.hop_length
        log_gain = plan.log_gain[0, self.now // plan.block_length]
        prediction, inputs = torch.zeros(()), self.past[:1]
        if plan.order:
            prediction = plan.coefficients[0, self.now // plan.block_length] @ self.past
            inputs = torch.stack([self.excitation, *(torch.stack([self.past[0], prediction]) / log_gain.exp())]).asinh()
        raw = self._network(inputs[None], plan.gates[0, frame])
        params = self.model.distribution.place(raw[:, :, None], prediction[None, None], log_gain[None, None])
        x = self.model.distribution.inverse(params, z[None, None])[0][0, 0]
        self.past = torch.cat([x[None], self.past[:-1]])
        self.excitation = (x - prediction) / log_gain.exp()
        self.now += 1
        return x

    def _network(self, inputs: Tensor, gates: Tensor) -> Tensor:
        hidden, skip = self.start(inputs), torch.zeros(())
        for i, (layer, res_skip) in enumerate(zip(self.layers, self.res_skip, strict=True)):
            buffer, dilation = self.buffers[i], self.model.stack.config.dilations[i]
            buffer[:, :-1] = buffer[:, 1:].clone()  # what makes the loop slow is this, and Python
            buffer[:, -1] = hidden
            # the plan's gates hold the layer's bias already
            tanh, sigmoid = (F.linear(buffer[:, ::dilation].flatten(1), layer.weight) + gates[i]).chunk(2, dim=1)
            out = res_skip(torch.tanh(tanh) * torch.sigmoid(sigmoid))
            if i < len(self.layers) - 1:
                residual, out = out.chunk(2, dim=1)
                hidden = hidden + residual
            skip = skip + out
        return self.end(skip)


def _linear(convolution: nn.Module) -> nn.Linear:
    assert isinstance(convolution, nn.Conv2d)
    weight = convolution.weight.detach().squeeze(2).transpose(1, 2).flatten(1)
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": convolution.bias.detach()})
    return linear.requires_grad_(False)


def rate(advance: Callable[[Tensor], object], z: Tensor, seconds: float) -> tuple[float, float]:
    """Return samples per second of wall-clock time and of this thread's processor time, over at least so long."""
    made, wall, processor = 0, time.perf_counter(), time.thread_time()
    while (made == 0 or time.thread_time() - processor < seconds) and made < z.shape[-1]:
        advance(z[..., made : made + 256])
        made += 256
    return made / (time.perf_counter() - wall), made / (time.thread_time() - processor)


def _model(name: str | None, half: bool) -> WaveNet:
    torch.manual_seed(0)
    if name is None:
        model = WaveNet(WaveNetModelConfig())
        nn.init.normal_(model.stack.end.weight, std=0.01)
    else:
        loaded = load_model(model_directory(name)).model
        assert isinstance(loaded, WaveNet), f"{name} is no WaveNet"
        model = loaded
    for parameter in model.requires_grad_(False).parameters():
        parameter.copy_(parameter.half() if half else parameter)
    return model.eval()


def _measure(model: WaveNet, seconds: float) -> tuple[tuple[float, float], tuple[float, float], float]:
    frames = 2048
    mel = -6 + torch.randn(1, 80, 1).expand(1, 80, frames) + 0.3 * torch.randn(1, 80, frames)
    z, plan = torch.randn(1, 256 * frames), model.plan(mel)
    compiled, usual = CompiledGenerator(model.stack, model.distribution, plan), ShiftBufferLoop(model, plan)
    difference = float((compiled.advance(z[:, :256])[0][0] - usual.advance(z[0, :256])).abs().max())
    return rate(compiled.advance, z[:, 256:], seconds), rate(usual.advance, z[0, 256:], seconds), difference


def main() -> int:
    """Print the table and return 1 where a bar is missed or the loops disagree."""
    parser = argparse.ArgumentParser(description="Samples per second of an autoregressive WaveNet on one core.")
    parser.add_argument("--model", help="model directory or shipped name (the shipped architecture, untrained)")
    parser.add_argument("--seconds", type=float, default=5.0, help="processor time for each figure (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, passed = [], True
    for half in (False, True):
        (wall, cpu), (usual_wall, usual_cpu), difference = _measure(_model(args.model, half), args.seconds)
        ratio = cpu / usual_cpu
        cells = [f"{wall:,.0f}", f"{cpu:,.0f}", f"{usual_wall:,.0f}", f"{usual_cpu:,.0f}", f"{ratio:.0f}"]
        rows.append(["16-bit" if half else "32-bit", *cells, f"{difference:.0e}"])
        passed &= difference < TOLERANCE and ratio >= RATIO and (wall >= REAL_TIME or not half)
    header = ["weights", "samples/s", "per CPU second", "usual loop", "per CPU second", "ratio", "largest difference"]
    print(markdown_table(header, rows))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
