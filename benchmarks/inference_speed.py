"""Measures synthesis speed in multiples of real time, and the share of the machine's peak arithmetic.

`shipped` is every model that ships, against a HiFi-GAN V2 generator and Griffin-Lim. `peers` is ours against Vocos and
HiFi-GAN V2, and needs the extra `peers`. `streams` is the default model's streams against whole utterances. `batch` is
WaveGlow on several mels at once.

    python -m benchmarks.inference_speed [shipped] [peers] [streams] [batch]
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.arithmetic import Peak, operations
from benchmarks.hifigan import HiFiGAN
from benchmarks.speech import speech_mel
from benchmarks.vocos_peer import VocosPeer
from training.evaluate.candidates import griffin_lim
from vocoder.commands.benchmark import noise_mel
from vocoder.loading import default_dtype, describe, load, shipped_models
from vocoder.mel.config import MelConfig
from vocoder.timing import BUSY, QUIET, Clock, alternate, machine, markdown_table

MODEL = "waveglow"
MODELS = ("reverse", MODEL, "student", "parallel-wavenet", "wavenet")
"""models to measure, if they are shipped"""
PEERS = ("reverse", MODEL, "student")
"""our models in the comparison with peers"""
BATCHES = (1, 2, 4, 8, 16)
BATCH_SECONDS = 2.0
DTYPES = {"bfloat16": torch.bfloat16} if default_dtype("cpu") == torch.bfloat16 else {}
DTYPES |= {"float32": torch.float32}
"""without bfloat16 on processors without instructions for it, where it takes minutes"""
GRIFFIN_LIM = "Griffin-Lim, 60 iterations"
Table = tuple[list[str], list[list[str]]]
Makers = dict[str, Callable[..., object]]


def main() -> int:
    """Print the machine and a table for each requested part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference_speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="shipped, peers, streams, batch (default: all)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, nargs="+", help="lengths of audio (default: 1 and 10)")
    parser.add_argument(
        "--models", nargs="+", default=PEERS, metavar="NAME|DIR", help="our models to compare with peers (%(default)s)"
    )
    parser.add_argument("--busy", action="store_true", help="one thread, by CPU time instead of wall time")
    args = parser.parse_args()
    clock = BUSY if args.busy else QUIET
    if args.busy:
        torch.set_num_threads(1)
    parts: dict[str, Callable[[], Table]] = {
        "shipped": lambda: shipped_speed(args.seconds or [1.0, 10.0], args.repetitions, clock),
        "peers": lambda: peers_speed(args.models, args.seconds or [1.0, 3.0, 10.0], args.repetitions, clock),
        "streams": lambda: streams_speed(args.seconds or [10.0], args.repetitions, clock),
        "batch": lambda: batch_speed(args.repetitions, clock),
    }
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    print(machine(clock=clock))
    for part in args.parts or parts:
        torch.manual_seed(0)
        print(f"\n{part}\n\n{markdown_table(*parts[part]())}", flush=True)
    return 0


def shipped_speed(lengths: list[float], repetitions: int, clock: Clock = QUIET) -> Table:
    """Return the table of shipped models and their common alternatives, on the same mels."""
    peak, config = Peak(clock), load(MODEL).mel_config
    makers = {**_ours([name for name in MODELS if name in shipped_models()]), **_others(config)}
    cells: dict[str, list[str]] = {name: [] for name in makers}
    for seconds in lengths:
        mel = noise_mel(config, seconds)
        length = mel.shape[1] * config.hop_length / config.sample_rate
        medians = alternate({name: partial(maker, mel) for name, maker in makers.items()}, repetitions, clock=clock)
        for name, median in medians.items():
            countable = not name.startswith(GRIFFIN_LIM) and "wavenet" not in name
            share = peak.share(operations(partial(makers[name], mel)), median) if countable else "-"
            cells[name] += [f"{length / median:.1f}", share]
    columns = [column for seconds in lengths for column in (f"{seconds:g} s", "of the peak")]
    return ["x real time", *columns], [[name, *values] for name, values in cells.items()]


def peers_speed(models: Sequence[str], lengths: list[float], repetitions: int, clock: Clock = QUIET) -> Table:
    """Return the table of our models, Vocos and HiFi-GAN V2, with speeds relative to Vocos' better one.

    All that is compared takes the same mel: models of another mel config stand beside a Vocos of their own.
    """
    of_config: dict[MelConfig, list[str]] = {}
    for model in models:
        of_config.setdefault(load(model).mel_config, []).append(model)
    rows = []
    for config, names in of_config.items():
        rows += _beside_vocos(config, names, lengths, repetitions, clock)
    columns = [column for seconds in lengths for column in (f"{seconds:g} s", "of Vocos")]
    return ["x real time", *columns], rows


def _beside_vocos(
    config: MelConfig, models: Sequence[str], lengths: list[float], repetitions: int, clock: Clock
) -> list[list[str]]:
    vocos = VocosPeer(config).eval()
    makers: Makers = {f"Vocos of {config.name} mels, {kind}": partial(_vocos, vocos, t) for kind, t in DTYPES.items()}
    makers |= {**_ours(models), **_others(config)}
    del makers[GRIFFIN_LIM]
    cells: dict[str, list[str]] = {name: [] for name in makers}
    for seconds in lengths:
        mel = speech_mel(config, seconds, seed=0)  # includes the guard's check, as for users
        length = mel.shape[1] * config.hop_length / config.sample_rate
        tasks = {name: partial(maker, mel) for name, maker in makers.items()}
        medians = alternate(tasks, repetitions, clock=clock, untimed=1)
        best = min(median for name, median in medians.items() if name.startswith("Vocos"))
        for name, median in medians.items():
            cells[name] += [f"{length / median:.1f}", f"{best / median:.2f}"]
    return [[name, *values] for name, values in cells.items()]


def streams_speed(lengths: list[float], repetitions: int, clock: Clock = QUIET) -> Table:
    """Return the table of streams with a complete mel, all chunks together, compared with whole synthesis."""
    voice, rows = load(PEERS[0]), []
    for seconds in lengths:
        mel = speech_mel(voice.mel_config, seconds, seed=0)
        tasks: Makers = {
            "whole": partial(voice.synthesize, mel, seed=0),
            "stream": lambda mel=mel: list(voice.stream(mel, seed=0)),
        }
        medians = alternate(tasks, repetitions, clock=clock, untimed=1)
        times = [f"{1e3 * medians[name]:.1f} ms" for name in tasks]
        rows.append([f"{seconds:g} s", *times, f"{medians['stream'] / medians['whole']:.2f}"])
    return [f"{PEERS[0]}: length", "whole", "stream", "ratio"], rows


def _vocos(vocos: VocosPeer, dtype: torch.dtype, mel: np.ndarray) -> object:
    return vocos.synthesize(torch.from_numpy(mel)[None], dtype)


def _ours(models: Sequence[str]) -> Makers:
    """Return our models: autoregressive ones once, the others in each precision."""
    makers: Makers = {}
    for name in models:
        own = {"int8": torch.int8} if describe(name)["dtype"] == "int8" else {}
        for kind, dtype in (own | DTYPES).items():
            if name != "wavenet" or dtype == torch.float32:
                makers[f"{name}, {kind}"] = partial(load(name, dtype=dtype).synthesize, seed=0)
    return makers


def _others(config: MelConfig) -> Makers:
    hifigan = {dtype: HiFiGAN(config.n_mels).eval().to(dtype) for dtype in DTYPES.values()}

    @torch.inference_mode()
    def synthesize(dtype: torch.dtype, mel: np.ndarray) -> object:
        return hifigan[dtype](torch.from_numpy(mel)[None].to(dtype))

    makers: Makers = {f"HiFi-GAN V2, {kind}": partial(synthesize, dtype) for kind, dtype in DTYPES.items()}
    return {**makers, GRIFFIN_LIM: partial(griffin_lim, config)}


def batch_speed(repetitions: int, clock: Clock = QUIET) -> Table:
    """Return the table of a model on batches of mels of one length."""
    voice = load(MODEL, guard="off")
    config, dtype = voice.mel_config, str(voice.dtype).removeprefix("torch.")
    one = noise_mel(config, BATCH_SECONDS)
    tasks = {str(size): partial(voice.synthesize, np.stack([one] * size), seed=0) for size in BATCHES}
    medians = alternate(tasks, repetitions, clock=clock)
    length = one.shape[1] * config.hop_length / config.sample_rate
    rows = [[size, f"{1e3 * m:.0f} ms", f"{int(size) * length / m:.1f}"] for size, m in medians.items()]
    return [f"{MODEL}, {dtype}: mels of {length:.1f} s at once", "time", "x real time"], rows


if __name__ == "__main__":
    raise SystemExit(main())
