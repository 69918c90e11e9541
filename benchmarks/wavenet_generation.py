"""How fast autoregressive WaveNets generate on one core, beside the usual PyTorch loop over the same weights.

The usual loop keeps, for each layer, a buffer of the last inputs of its convolution, shifts it by
one for every sample and multiplies: what published implementations of incremental generation do. Both loops make the
same audio from the same noise, which is checked first.

    python -m benchmarks.wavenet_generation
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.checkpoint import load_model
from vocoder.distributions.gaussian import Gaussian
from vocoder.generation.compiled import CompiledGenerator
from vocoder.generation.plan import BLOCK, Plan
from vocoder.loading import model_directory
from vocoder.machine.timing import markdown_table
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

__all__ = ["ShiftBufferLoop"]

REAL_TIME = 22050  # samples per second
RATIO = 25.0  # of the compiled loop to the usual one, for ours
TOLERANCE = 1e-4


class ShiftBufferLoop:
    """Generate one utterance sample by sample with modules and shifted buffers."""

    def __init__(self, model: WaveNet, plan: Plan) -> None:
        self.model, self.plan, self.now = model, plan, 0
        weights = self.weights = model.stack.step_weights()
        self.gates = torch.zeros(0)
        self.buffers = [torch.zeros(1, weights.past * d + 1, weights.hidden) for d in weights.dilations]
        channels = model.feedback.channels
        self.front = torch.zeros(1, weights.start[0].shape[1] // channels, channels)
        self.past = torch.zeros(max(plan.order, 1))
        self.excitation = torch.zeros(())

    @torch.no_grad()
    def advance(self, z: Tensor) -> Tensor:
        """Return the next samples x (T,) for noise z (T,)."""
        return torch.stack([self._step(value) for value in z])

    def _step(self, z: Tensor) -> Tensor:
        plan, feedback = self.plan, self.model.feedback
        log_gain = plan.log_gain[0, self.now // plan.block_length]
        gain, prediction = log_gain.exp(), plan.coefficients[0, self.now // plan.block_length] @ self.past
        heard = [value.reshape(1, 1) for value in (self.excitation, self.past[0] / gain, prediction / gain)]
        position = self.now // plan.hop_length
        if self.now % (BLOCK * plan.hop_length) == 0:
            self.gates = self.model.stack.gate_shares(plan.cond[:, :, position : position + BLOCK], 1)[0]
        raw = self._network(feedback.inputs(*heard)[:, :, 0], self.gates[position % BLOCK])
        params = self.model.distribution.place(raw[:, :, None], prediction[None, None], log_gain[None, None])
        x = feedback.clamped(self.model.distribution.inverse(params, z[None, None])[0][0, 0], prediction, gain)
        self.past = torch.cat([x[None], self.past[:-1]])
        self.excitation = (x - prediction) / gain
        self.now += 1
        return x

    def _network(self, inputs: Tensor, gates: Tensor) -> Tensor:
        weights, skip = self.weights, torch.zeros(())
        hidden = F.linear(_shifted(self.front, inputs).flatten(1), *weights.start)
        hidden = hidden.relu() if weights.rectified else hidden
        for i, dilation in enumerate(weights.dilations):
            seen = _shifted(self.buffers[i], hidden)[:, ::dilation].flatten(1)
            tanh, sigmoid = (F.linear(seen, weights.gates[i]) + gates[i]).chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *weights.res_skip[i])
            if i < len(weights.dilations) - 1:
                hidden, out = hidden + out[:, : weights.hidden], out[:, weights.hidden :]
            skip = skip + out
        if weights.middle is not None:
            skip = F.linear(skip.relu(), *weights.middle).relu()
        return F.linear(skip, *weights.end)


def _shifted(buffer: Tensor, newest: Tensor) -> Tensor:
    """Put the newest vector (1, C) behind the others: what makes the loop slow is this, and Python."""
    buffer[:, :-1] = buffer[:, 1:].clone()
    buffer[:, -1] = newest
    return buffer


def rate(advance: Callable[[Tensor], object], z: Tensor, seconds: float) -> tuple[float, float]:
    """Return samples per second of wall-clock time and of this thread's processor time, over at least so long."""
    made, wall, processor = 0, time.perf_counter(), time.thread_time()
    while (made == 0 or time.thread_time() - processor < seconds) and made < z.shape[-1]:
        advance(z[..., made : made + 256])
        made += 256
    return made / (time.perf_counter() - wall), made / (time.thread_time() - processor)


def _models(name: str | None) -> Iterator[tuple[str, WaveNet]]:
    for half in (False, True):
        model = _ours(name)
        for parameter in model.requires_grad_(False).parameters():
            parameter.copy_(parameter.half() if half else parameter)
        yield "16-bit" if half else "32-bit", model.eval()


def _ours(name: str | None) -> WaveNet:
    torch.manual_seed(0)
    if name is None:
        model = WaveNet(WaveNetModelConfig())
        nn.init.normal_(model.stack.end.weight, std=0.01)
        return model
    loaded = load_model(model_directory(name)).model
    assert isinstance(loaded, WaveNet), f"{name} is no WaveNet"
    return loaded


def _measure(model: WaveNet, seconds: float) -> tuple[tuple[float, float], tuple[float, float], float]:
    frames = 2048
    mel = -6 + torch.randn(1, 80, 1).expand(1, 80, frames) + 0.3 * torch.randn(1, 80, frames)
    z, plan = torch.randn(1, 256 * frames), model.plan(mel)
    assert isinstance(model.distribution, Gaussian)
    compiled = CompiledGenerator(model.stack, model.distribution, model.feedback, plan)
    usual = ShiftBufferLoop(model, plan)
    difference = float((compiled.advance(z[:, :256])[0][0] - usual.advance(z[0, :256])).abs().max())
    return rate(compiled.advance, z[:, 256:], seconds), rate(usual.advance, z[0, 256:], seconds), difference


def main() -> int:
    """Print the table and return 1 where a bar is missed or the loops disagree."""
    parser = argparse.ArgumentParser(description="Samples per second of autoregressive WaveNets on one core.")
    parser.add_argument("--model", help="model directory or shipped name (the shipped architecture, untrained)")
    parser.add_argument("--seconds", type=float, default=5.0, help="processor time for each figure (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, passed = [], True
    for name, model in _models(args.model):
        (wall, cpu), (usual_wall, usual_cpu), difference = _measure(model, args.seconds)
        ratio = cpu / usual_cpu
        cells = [f"{wall:,.0f}", f"{cpu:,.0f}", f"{usual_wall:,.0f}", f"{usual_cpu:,.0f}", f"{ratio:.0f}"]
        rows.append([name, *cells, f"{difference:.0e}"])
        passed &= difference < TOLERANCE and ratio >= RATIO
        passed &= wall >= REAL_TIME or name != "16-bit"
    header = ["weights", "samples/s", "per CPU second", "usual loop", "per CPU second", "ratio", "largest difference"]
    print(markdown_table(header, rows))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
