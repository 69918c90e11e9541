"""What the mel guard says of true mels and of mels in every wrong convention, on utterances that no training saw.

    python -m benchmarks.guard --manifest runs/speech/manifest.jsonl

The true mels are those of all held-out utterances, of the unseen voice too; the wrong ones are computed from the same
audio as their convention says. "named" is the share of flagged mels for which the cause is right, and with it the bands
where the convention has other bands. "as predicted" are true mels as acoustic models might give them, which ought to
pass.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.guard_conventions import CONVENTIONS, TRUE_VARIANTS, Convention, true_mel
from training.corpora.manifest import Entry, read_manifest
from training.data.audio_store import AudioStore
from vocoder.audio.file import read_audio
from vocoder.guard.guard import DIRECTORY, Guard, load_guard
from vocoder.guard.verdict import Verdict
from vocoder.loading import load
from vocoder.machine.timing import alternate, machine, markdown_table

__all__ = ["main"]

SHORTEST = 0.4  # seconds
RECORDING = Path(__file__).parents[1] / "examples" / "heldout.flac"


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What the mel guard flags and names, and what it costs.")
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="of a prepared corpus")
    parser.add_argument(
        "--guard", type=Path, default=DIRECTORY, help="model directory of a guard (default: the shipped)"
    )
    parser.add_argument("--split", choices=["test", "train"], default="test", help="(default: %(default)s)")
    parser.add_argument("--most", type=int, default=10_000, help="utterances for true mels")
    parser.add_argument("--most-wrong", type=int, default=150, help="utterances for each wrong convention")
    parser.add_argument("--only", choices=["detection", "cost"], help="one of the two tables")
    args = parser.parse_args()
    guard = load_guard(args.guard)
    if args.only != "cost":
        detection(guard, args)
    if args.only != "detection":
        cost(guard)
    return 0


def detection(guard: Guard, args: argparse.Namespace) -> None:
    """Print what is flagged and named."""
    manifest = read_manifest(args.manifest)
    entries = [e for e in manifest.select(args.split) if e.duration >= SHORTEST]
    entries = [entries[i] for i in np.random.default_rng(0).permutation(len(entries))[: args.most]]
    store = AudioStore(manifest, entries)
    audio = [torch.from_numpy(store.read(i, 0, int(store.lengths[i]))) for i in range(len(store))]
    seen = set(manifest.trained_speakers)
    print(f"{args.split} split of {args.manifest}: {len(entries)} utterances\n")
    print(markdown_table(["true mels", "utterances", "flagged", "as"], list(_true_rows(guard, entries, audio, seen))))
    rows = [_wrong_row(guard, convention, audio[: args.most_wrong]) for convention in CONVENTIONS]
    print(
        "\n" + markdown_table(["wrong convention", "utterances", "flagged", "named", "mistaken for"], rows), flush=True
    )


def _true_rows(guard: Guard, entries: Sequence[Entry], audio: Sequence[Tensor], seen: set[str]) -> Iterator[list[str]]:
    mels = [true_mel(x) for x in audio]
    for title, unseen in (("seen voices", False), ("unseen voices", True)):
        chosen = [mel for mel, entry in zip(mels, entries, strict=True) if (entry.speaker not in seen) == unseen]
        if chosen:
            yield _row(title, [guard.check(mel) for mel in chosen])
    for title, vary in TRUE_VARIANTS.items():
        yield _row(title, _checked(guard, vary, mels[:150]))


def _checked(guard: Guard, vary: Callable[[Tensor], Tensor], mels: Sequence[Tensor]) -> list[Verdict]:
    return [guard.check(vary(mel)) for mel in mels]


def _row(title: str, verdicts: Sequence[Verdict]) -> list[str]:
    flagged = [verdict for verdict in verdicts if not verdict.typical]
    return [title, str(len(verdicts)), _percent(len(flagged), len(verdicts)), _most(v.cause for v in flagged)]


def _wrong_row(guard: Guard, convention: Convention, audio: Sequence[Tensor]) -> list[str]:
    verdicts = [guard.check(mel) for mel in convention.mels(audio)]
    flagged = [verdict for verdict in verdicts if not verdict.typical]
    named = [v for v in flagged if v.cause == convention.cause and v.preset == convention.preset]
    wrong = (f"{v.cause}{f', {v.preset}' if v.preset else ''}" for v in flagged if v not in named)
    share = _percent(len(named), len(flagged)) if convention.cause else "-"
    mistaken = _most(wrong) if convention.cause else ""
    return [convention.name, str(len(verdicts)), _percent(len(flagged), len(verdicts)), share, mistaken]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def _most(causes: Iterator[str]) -> str:
    return "; ".join(f"{cause} ({count})" for cause, count in Counter(causes).most_common(3))


def cost(guard: Guard) -> None:
    """Print what a check takes beside a synthesis."""
    v, rows = load("waveglow", guard="off"), []
    speech = torch.from_numpy(read_audio(RECORDING, v.sample_rate)[0])
    for seconds in (1, 5, 10):
        mel = true_mel(speech.repeat(2)[: seconds * v.sample_rate])
        found = alternate({"speak": lambda m=mel: v.synthesize(m, seed=0), "check": lambda m=mel: guard.check(m)}, 9)
        share = found["check"] / found["speak"]
        rows.append(
            [
                f"{seconds} s",
                f"{1000 * found['speak']:.1f} ms",
                f"{1000 * found['check']:.2f} ms",
                f"{100 * share:.2f} %",
            ]
        )
    print(f"\n{machine()}\n\n" + markdown_table(["mel", "synthesize", "check", "added"], rows), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
