"""The model card: what a model is, what it was trained on, how good it was found, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.provenance import UNKNOWN, all_data, with_inheritance
from vocoder.loading import shipped_models

COLUMNS = {
    "pesq": ("PESQ", 2),
    "stoi": ("STOI", 3),
    "distillmos": ("DistillMOS", 2),
    "dnsmos": ("DNSMOS", 2),
    "mcd_db": ("MCD dB", 2),
    "stft_distance": ("STFT dist.", 3),
    "periodicity_rmse": ("periodicity RMSE", 3),
    "voicing_f1": ("V/UV F1", 3),
    "voiced_share": ("voiced %", 0),
    "pitch_rmse_cents": ("pitch RMSE cents", 1),
    "f0_rmse_cents": ("F0 RMSE cents", 1),  # of models measured before 0.3, by pYIN
    "voicing_error": ("voicing err. %", 1),
    "band_db": ("8-11 kHz dB", 0),
    "band_kept": ("kept %", 0),
    "nats": ("nats/sample", 3),
    "times_real_time": ("x real time", 1),
    "density_times_real_time": ("density x real time", 1),
}

START = "start_from "
PARTS = {
    "teacher": "the teacher {}",
    "flows_from": "{}, whose flows it has",
    "pitch_from": "{}, whose estimate of pitch it has",
    "fill_from": "{}, which made up what lies above the band of recordings",
}
"""who hands recordings on, by role"""
HEARD_BY = "Heard by: what had the recordings in its training: this model, or one that it took something from."

GUARD = (
    "Gaussian densities of windows of natural-log mel-spectrograms, one for each convention that mels are written down "
    "in: they say how typical a mel is of the contract below, and what it looks like where it is not. It cannot speak."
)
ADAPTER = (
    "Turns mel-spectrograms of the contract below into those of the models that ship, where no formula does: a linear "
    "map of a few frames, and where that is not enough a small network beside it. It cannot speak; `preset=` uses it."
)
ADAPTER_USAGE = '```python\nimport vocoder\n\nx = vocoder.load("waveglow").synthesize(mel, preset="{name}")\n```'
GUARD_USAGE = "```python\nimport vocoder\n\nprint(vocoder.check(mel).message)  # (n_mels, frames)\n```"


def model_card(
    name: str,
    family: str,
    parameters: int,
    mel: Mapping[str, Any],
    provenance: Mapping[str, Any],
    quality: Mapping[str, Any],
    notes: str = "",
) -> str:
    """Return the text of a model's README.md."""
    provenance = with_inheritance(provenance)
    licences = sorted({entry["licence"] for entry in all_data(provenance)})
    what, usage = {
        "guard": (GUARD, GUARD_USAGE if mel.get("n_mels") == 80 else ADAPTER_USAGE.format(name="auto")),
        "adapter": (ADAPTER, ADAPTER_USAGE.format(name=name)),
    }.get(family, (_what(family, parameters, mel), _usage(name)))
    parts = [
        _front_matter(licences, family not in ("guard", "adapter")),
        f"# {name}",
        what,
        usage,
        "## Mel contract",
        _mel_table(mel),
        "## Training",
        _training(provenance),
        _data_table(provenance),
        _synthetic_share(provenance),
        "## Licence",
        "The weights carry the licences and attributions of the recordings above: " + ", ".join(licences) + ".",
        *(f"**{warning}**" for warning in unknown_licences(provenance)),
    ]
    if quality:
        parts += ["## Measured quality", _quality_table(name, quality), _definitions(quality)]
    return "\n\n".join(part for part in [*parts, notes.strip()] if part) + "\n"


def licence_of(provenance: Mapping[str, Any]) -> str:
    """Return the licence of the weights and why it is that one: a share-alike licence behind them, or all together."""
    entries = all_data(with_inheritance(provenance))
    corpora: dict[str, list[str]] = {}
    for entry in entries:
        if entry["corpus"] not in corpora.setdefault(entry["licence"], []):
            corpora[entry["licence"]].append(entry["corpus"])
    in_brackets = {licence: f" ({', '.join(names)})" for licence, names in sorted(corpora.items())}
    named = {licence: licence.removesuffix(names) + names for licence, names in in_brackets.items()}
    if UNKNOWN in corpora:
        return f"unknown, because nobody named that of {', '.join(corpora[UNKNOWN])}"
    alike = [licence for licence in named if licence.startswith("CC-BY-SA")]
    if not alike:
        return f"{', '.join(named.values())}; README.md has the attributions" if named else "not stated: no recordings"
    others = ", ".join(text for licence, text in named.items() if licence not in alike)
    rest = f" The other recordings do not change that: {others}." if others else ""
    names = ", ".join(corpora[alike[0]])
    return f"{alike[0]}, because it is share-alike, and the weights learnt from {names}, which are under it.{rest}"


def unknown_licences(provenance: Mapping[str, Any]) -> list[str]:
    """Return a warning for every corpus behind a model, inherited ones included, that nobody named a licence for."""
    entries = all_data(with_inheritance(provenance))
    corpora = dict.fromkeys(entry["corpus"] for entry in entries if entry["licence"] == UNKNOWN)
    return [
        f"The licence of {corpus} is unknown: do not share these weights before you know that you may "
        "(vocoder-train prepare --licence NAME records it)."
        for corpus in corpora
    ]


def _front_matter(licences: list[str], speaks: bool) -> str:
    known = UNKNOWN if UNKNOWN in licences else "cc-by-sa-3.0" if "CC-BY-SA-3.0" in licences else "other"
    task = "pipeline_tag: text-to-speech\n" if speaks else ""
    return f"---\nlicense: {known}\n{task}tags: [vocoder, normalizing-flow]\n---"


def _what(family: str, parameters: int, mel: Mapping[str, Any]) -> str:
    return (
        f"A {family} vocoder with {parameters / 1e6:.1f} million parameters: natural-log mel-spectrograms in, "
        f"{mel['sample_rate']} Hz speech out."
    )


def _usage(name: str) -> str:
    shipped = f'"{name}")  # or the path of this directory'
    place = shipped if name in shipped_models() else f'"path/to/{name}")'
    lines = [
        "import vocoder",
        "",
        f"v = vocoder.load({place}",
        "x = v.synthesize(mel)  # (n_mels, frames)",
    ]
    return "\n".join(["```python", *lines, "```"])


def _mel_table(mel: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {value} |" for key, value in mel.items() if value is not None]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def _training(provenance: Mapping[str, Any]) -> str:
    training, machine = provenance.get("training", {}), provenance.get("machine", {})
    software = ", ".join(f"{name} {version}" for name, version in provenance.get("software", {}).items())
    if not training:
        return f"Software: {software}."
    return (
        f"{training['step']} steps, {training['audio_seconds'] / 3600:.1f} hours of audio seen, "
        f"{training['minutes']:.0f} minutes on {machine.get('device')} with {machine.get('threads')} threads "
        f"({software})."
    )


def _data_table(provenance: Mapping[str, Any]) -> str:
    """Return one line for each corpus; the same one heard on several ways is named once, with all of them."""
    entries: dict[tuple[str, ...], dict[str, Any]] = {}
    ways: dict[tuple[str, ...], list[str]] = {}
    for entry in all_data(provenance):
        key = tuple(str(entry.get(name, "")) for name in ("corpus", "licence", "attribution"))
        entries.setdefault(key, entry)
        ways.setdefault(key, []).append(_heard_by(entry.get("through")))
    if not entries:
        return ""
    lines = ["| corpus | hours | licence | attribution |", "|---|---:|---|---|"]
    lines = lines if not provenance.get("inherited") else [f"{lines[0]} heard by |", f"{lines[1]}---|"]
    for key, entry in entries.items():
        name = entry["corpus"] + (" (synthetic)" if entry.get("synthetic") else "")
        cells = [name, _value(entry.get("hours"), 2), *key[1:]]
        cells += ["; ".join(dict.fromkeys(ways[key]))] if provenance.get("inherited") else []
        lines.append("| " + " | ".join(cells) + " |")
    if provenance.get("inherited"):
        lines += ["", HEARD_BY]
    return "\n".join(lines)


def _heard_by(through: str | None) -> str:
    """Return who heard recordings that came through models, by their roles; who goes on from weights counts as them."""
    steps = through.split(", ") if through else []
    roles = [step for step in steps if not step.startswith(START)]
    if not roles:
        return f"the weights that it began with ({steps[0].removeprefix(START)})" if steps else "this training"
    role, _, name = roles[-1].partition(" ")
    return PARTS.get(role, "{}").format(name)


def _synthetic_share(provenance: Mapping[str, Any]) -> str:
    data = provenance.get("data", [])
    total, made = sum(entry["hours"] for entry in data), sum(e["hours"] for e in data if e.get("synthetic"))
    if not made:
        return ""
    return f"{made:.2f} of {total:.2f} hours ({100 * made / total:.0f} %) are synthetic speech, made by other models."


def _quality_table(name: str, quality: Mapping[str, Any]) -> str:
    candidates = {name: quality["voices"], **quality.get("baselines", {})}
    shown = [
        key for key in COLUMNS if any(key in scores for voices in candidates.values() for scores in voices.values())
    ]
    lines = ["| voice | candidate | utterances | " + " | ".join(COLUMNS[key][0] for key in shown) + " |"]
    lines.append("|---|---|---:|" + "---:|" * len(shown))
    for voice, own in quality["voices"].items():
        heard = voice if own.get("seen", True) else f"{voice} (unseen)"
        for candidate, voices in candidates.items():
            if voice in voices:
                scores = voices[voice]
                values = " | ".join(_value(scores.get(key), COLUMNS[key][1]) for key in shown)
                lines.append(f"| {heard} | {candidate} | {scores['utterances']} | {values} |")
    return "\n".join(lines)


def _value(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _definitions(quality: Mapping[str, Any]) -> str:
    titles = {key: title for key, (title, _) in COLUMNS.items()}
    return "\n".join(f"- {titles.get(key, key)}: {text}" for key, text in quality.get("definitions", {}).items())
