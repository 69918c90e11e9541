"""How many times faster than real time audio is made.

The model that ships against Griffin-Lim, and the published configuration, ours against the straightforward one.

    python -m benchmarks.inference_speed [shipped] [published] [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.published_waveglow import PublishedWaveGlow
from training.evaluate.griffin_lim import GriffinLim
from vocoder.commands.benchmark import noise_mel
from vocoder.layers.wavenet import set_compute_dtype
from vocoder.loading import load
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import published
from vocoder.timing import alternate, machine, markdown_table

LENGTHS = (1.0, 10.0)
PUBLISHED_FRAMES = 172  # 2 s
Table = tuple[list[str], list[list[str]]]


def main() -> int:
    """Print the machine and a table for each part asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference_speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="shipped, published (default: both)")
    parser.add_argument("--model", default="waveglow", metavar="NAME|DIR")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    parts: dict[str, Callable[[], Table]] = {
        "shipped": lambda: shipped_speed(args.model, args.repetitions),
        "published": lambda: published_speed(args.repetitions),
    }
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    print(machine())
    for part in args.parts or parts:
        torch.manual_seed(0)
        print(f"\n{part}\n\n{markdown_table(*parts[part]())}", flush=True)
    return 0


def shipped_speed(model: str, repetitions: int) -> Table:
    """Return the table of a model in both precisions, and of Griffin-Lim with 60 iterations, on the same mels."""
    low, full = load(model, dtype=torch.bfloat16), load(model, dtype=torch.float32)
    config = low.mel_config
    griffin_lim = GriffinLim(config, iterations=60)
    makers: dict[str, Callable[..., object]] = {
        f"{low.name}, bfloat16": partial(low.synthesize, seed=0),
        f"{full.name}, float32": partial(full.synthesize, seed=0),
        "Griffin-Lim, 60 iterations": griffin_lim,
    }
    mels = {seconds: noise_mel(config, seconds) for seconds in LENGTHS}
    speeds: dict[str, list[str]] = {name: [] for name in makers}
    for mel in mels.values():
        length = mel.shape[1] * config.hop_length / config.sample_rate
        medians = alternate({name: partial(maker, mel) for name, maker in makers.items()}, repetitions)
        for name, median in medians.items():
            speeds[name].append(f"{length / median:.1f}")
    header = ["x real time", *(f"{seconds:g} s" for seconds in LENGTHS)]
    return header, [[name, *values] for name, values in speeds.items()]


def published_speed(repetitions: int) -> Table:
    """Return the table of the published configuration: ours in both precisions, and the straightforward one."""
    config = published()
    ours, yardstick = WaveGlow(config).eval().requires_grad_(False), PublishedWaveGlow(config).folded()
    mel = torch.randn(1, config.n_mels, PUBLISHED_FRAMES) - 5.0
    z = config.sigma * torch.randn(ours.noise_shape(1, PUBLISHED_FRAMES))

    @torch.inference_mode()
    def speak(dtype: torch.dtype) -> None:
        set_compute_dtype(ours, dtype)
        ours.inverse(z, mel)

    medians = alternate(
        {
            "ours, bfloat16": partial(speak, torch.bfloat16),
            "ours, float32": partial(speak, torch.float32),
            "straightforward, float32": lambda: yardstick.inverse(z, mel),
        },
        repetitions,
    )
    seconds = PUBLISHED_FRAMES * config.hop_length / config.sample_rate
    reference = medians["straightforward, float32"]
    rows = [[name, f"{m:.2f} s", f"{seconds / m:.2f}", f"{reference / m:.2f}"] for name, m in medians.items()]
    return [f"published configuration, {seconds:.1f} s of audio", "time", "x real time", "ratio"], rows


if __name__ == "__main__":
    raise SystemExit(main())
