"""Tests the mel guard on true mels and on mels in every wrong convention, from corpora that it never saw.

    python -m benchmarks.guard --manifest runs/speech/manifest.jsonl --cache ~/.cache/flow-vocoder/corpora

None of these corpora was in the fitting or the calibration of the shipped guard. "named" is the share of flagged mels
for which the cause is right, and with it the bands where the convention has other bands. Smoothed mels are true ones as
acoustic models might give them, which ought to pass.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from benchmarks.guard_conventions import CONVENTIONS, OF_100_BANDS, TRUE_VARIANTS, Convention, mel_of, true_mel
from benchmarks.guard_corpora import UNSEEN, as_recorded, levelled, unseen_entries
from benchmarks.speech import RECORDING
from recipes.corpora.downloads import default_cache
from training.corpora.manifest import read_manifest
from vocoder.audio.reading import read_audio
from vocoder.directories import ASSETS
from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.guard import Guard, load_guard
from vocoder.guard.verdict import Verdict
from vocoder.loading import load
from vocoder.mel.config import PRESETS, preset
from vocoder.mel.conventions import TRUE, convention_of
from vocoder.mel.conventions import Convention as Recognised
from vocoder.timing import alternate, machine, markdown_table

Way: TypeAlias = tuple[Callable[[Tensor], Tensor], Recognised | None]
BARS = (
    "The bars: at most 1 % of all true mels flagged, 2 % in any row; 95 % of wrong ones flagged, 95 % of these named."
)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What the mel guard flags and recognises, and its cost.")
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="manifest of prepared corpora")
    parser.add_argument("--corpora", default=",".join(UNSEEN), help="corpora of the manifest (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="cache of recordings at their own level")
    parser.add_argument(
        "--guard", type=Path, default=ASSETS / "guard", help="model directory of a guard (default: the shipped one)"
    )
    parser.add_argument("--most", type=int, default=600, help="utterances per corpus for true mels (%(default)s)")
    parser.add_argument(
        "--most-wrong", type=int, default=20, help="utterances per corpus for each wrong convention (%(default)s)"
    )
    parser.add_argument("--only", choices=["detection", "cost"], help="run only one of the two parts")
    args = parser.parse_args()
    guard = load_guard(args.guard)
    if args.only != "cost":
        detection(guard, args)
    if args.only != "detection":
        cost(guard)
    return 0


def detection(guard: Guard, args: argparse.Namespace) -> None:
    """Print the shares that are flagged and recognised."""
    manifest = read_manifest(args.manifest)
    entries = unseen_entries(manifest, args.corpora.split(","), args.most)
    audio = {corpus: levelled(manifest, found) for corpus, found in entries.items()}
    raw = {name: as_recorded(name, found, manifest.sample_rate, args.cache) for name, found in entries.items()}
    heads = ["true mels", "level", "utterances", "flagged", "as"]
    print(BARS + "\n\n" + markdown_table(heads, true_rows(guard, audio, raw)), flush=True)
    parts = {corpus: found[: args.most_wrong] for corpus, found in audio.items()}
    rows = [wrong_row(guard, convention, parts) for convention in CONVENTIONS]
    counted = [counts for (_, counts), convention in zip(rows, CONVENTIONS, strict=True) if not convention.near]
    heads = ["wrong convention", "utterances", "flagged", "named", "mistaken for"]
    checked, flagged, named = (sum(column) for column in zip(*counted, strict=True))
    total = ["all but those that are too near", str(checked), _percent(flagged, checked), _percent(named, flagged), ""]
    print("\n" + markdown_table(heads, [*(cells for cells, *_ in rows), total]), flush=True)
    presets: dict[str, Way] = {
        f"`{name}`": (partial(mel_of, config=config), convention_of(config)) for name, config in PRESETS.items()
    }
    others: dict[str, Way] = {
        name: (compute, None if expected is None else Recognised(*expected.split(":")))
        for name, (compute, expected) in OF_100_BANDS.items()
    }
    for title, ways in (("", presets), (" 100 bands", others)):
        heads = [f"`preset=auto` of mels of{title}", "utterances", "right", "refused", "wrong"]
        print("\n" + markdown_table(heads, auto_rows(parts, ways)), flush=True)


def auto_rows(audio: Mapping[str, Sequence[Tensor]], ways: Mapping[str, Way]) -> list[list[str]]:
    """Return what `preset=auto` recognises: a row per way to compute mels, with the right answer, if any."""
    rows = []
    for name, (compute, expected) in ways.items():
        right = refused = 0
        mels = [compute(x) for found in audio.values() for x in found]
        for mel in mels:
            try:
                right += convention_of(recognised_config(mel, preset(TRUE))) == expected
            except UnsureError:
                refused += 1
        said = "-" if expected is None else _percent(right, len(mels))
        wrong = len(mels) - right - refused
        rows.append([name, str(len(mels)), said, _percent(refused, len(mels)), _percent(wrong, len(mels))])
    return rows


def true_rows(
    guard: Guard, audio: Mapping[str, Sequence[Tensor]], raw: Mapping[str, Sequence[Tensor]]
) -> list[list[str]]:
    """Return a row per corpus and level, a row per variant, and the sum."""
    rows, everything = [], list[Verdict]()
    for corpus, levels in {name: (raw[name], audio[name]) for name in audio}.items():
        for level, found in zip(("as recorded", "RMS 0.06"), levels, strict=True):
            verdicts = [guard.check(true_mel(x)) for x in found]
            everything += verdicts
            if verdicts:
                rows.append(_row(corpus, level, verdicts))
    spread = [x for found in audio.values() for x in found[: max(1, 400 // len(audio))]]
    for title, vary in TRUE_VARIANTS.items():
        verdicts = [guard.check(vary(true_mel(x))) for x in spread]
        everything += verdicts
        rows.append(_row("all, " + title, "", verdicts))
    return [*rows, _row("all", "", everything)]


def _row(title: str, level: str, verdicts: Sequence[Verdict]) -> list[str]:
    flagged = [verdict for verdict in verdicts if not verdict.typical]
    return [title, level, str(len(verdicts)), _percent(len(flagged), len(verdicts)), _most(flagged)]


def wrong_row(
    guard: Guard, convention: Convention, audio: Mapping[str, Sequence[Tensor]]
) -> tuple[list[str], tuple[int, int, int]]:
    """Return a row of cells, and how many mels were checked, flagged, and flagged with the right name."""
    verdicts = [guard.check(mel) for found in audio.values() for mel in convention.mels(found)]
    flagged = [verdict for verdict in verdicts if not verdict.typical]
    named = [v for v in flagged if convention.names(v.cause, v.preset)]
    wrong = [v for v in flagged if not convention.names(v.cause, v.preset)]
    cells = [convention.name, str(len(verdicts)), _percent(len(flagged), len(verdicts))]
    cells += [_percent(len(named), len(flagged)) if convention.cause else "-", _most(wrong) if convention.cause else ""]
    return cells, (len(verdicts), len(flagged), len(named))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def _most(verdicts: Iterable[Verdict]) -> str:
    causes = (v.cause + (f", {v.preset}" if v.preset else "") for v in verdicts)
    return "; ".join(f"{cause} ({count})" for cause, count in Counter(causes).most_common(3))


def cost(guard: Guard) -> None:
    """Print the time of a check compared with a synthesis."""
    v, rows = load("waveglow", guard="off"), []
    speech = torch.from_numpy(read_audio(RECORDING, v.sample_rate)[0])
    for seconds in (1, 5, 10):
        mel = true_mel(speech.repeat(2)[: seconds * v.sample_rate])
        ways: dict[str, Callable[[], object]] = {
            "synthesize": lambda m=mel: v.synthesize(m, seed=0),  # type: ignore[misc]
            "check": lambda m=mel: guard.check(m),  # type: ignore[misc]
        }
        found = alternate(ways, 9)
        cells = [f"{seconds} s", f"{1000 * found['synthesize']:.1f} ms", f"{1000 * found['check']:.2f} ms"]
        rows.append([*cells, f"{100 * found['check'] / found['synthesize']:.2f} %"])
    print(f"\n{machine()}\n\n" + markdown_table(["mel", "synthesize", "check", "added"], rows), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
