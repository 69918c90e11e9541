"""The model card: what a model is, what it was trained on, how good it was found, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["model_card"]

COLUMNS = {
    "pesq": ("PESQ", 2),
    "stoi": ("STOI", 3),
    "distillmos": ("DistillMOS", 2),
    "mcd_db": ("MCD dB", 2),
    "stft_distance": ("STFT dist.", 3),
    "f0_rmse_cents": ("F0 RMSE cents", 1),
    "voicing_error": ("voicing err. %", 1),
    "band_db": ("8-11 kHz dB", 0),
    "band_kept": ("kept %", 0),
    "nats": ("nats/sample", 3),
    "times_real_time": ("x real time", 1),
    "density_times_real_time": ("density x real time", 1),
}

GUARD = (
    "Gaussian densities of windows of natural-log mel-spectrograms, one for each convention that mels are written down "
    "in: they say how typical a mel is of the contract below, and what it looks like where it is not. It cannot speak."
)
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
    """Return the text of a model's README.md.

    Args:
        name: of the model.
        family: such as "waveglow".
        parameters: how many.
        mel: the mel contract as plain data.
        provenance: as `training.provenance` makes it, with the trainer's "training".
        quality: a block of quality.json of `vocoder-train evaluate`; may be empty.
        notes: Markdown that follows, such as what the model is not good for.
    """
    licences = sorted({entry["licence"] for entry in provenance.get("data", [])})
    speaks = family != "guard"
    parts = [
        _front_matter(licences, speaks),
        f"# {name}",
        _what(family, parameters, mel) if speaks else GUARD,
        _usage(name) if speaks else GUARD_USAGE,
        "## Mel contract",
        _mel_table(mel),
        "## Training",
        _training(provenance),
        _data_table(provenance),
        "## Licence",
        "The weights carry the licences and attributions of the recordings above: " + ", ".join(licences) + ".",
    ]
    if quality:
        parts += ["## Measured quality", _quality_table(name, quality), _definitions(quality)]
    return "\n\n".join(part for part in [*parts, notes.strip()] if part) + "\n"


def _front_matter(licences: list[str], speaks: bool) -> str:
    known = "cc-by-sa-3.0" if "CC-BY-SA-3.0" in licences else "other"
    task = "pipeline_tag: text-to-speech\n" if speaks else ""
    return f"---\nlicense: {known}\n{task}tags: [vocoder, normalizing-flow]\n---"


def _what(family: str, parameters: int, mel: Mapping[str, Any]) -> str:
    return (
        f"A {family} vocoder with {parameters / 1e6:.1f} million parameters: natural-log mel-spectrograms in, "
        f"{mel['sample_rate']} Hz speech out."
    )


def _usage(name: str) -> str:
    lines = [
        "import vocoder",
        "",
        f'v = vocoder.load("{name}")  # or the path of this directory',
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
    rows = [
        f"| {entry['corpus']} | {entry['hours']:.2f} | {entry['licence']} | {entry.get('attribution', '')} |"
        for entry in provenance.get("data", [])
    ]
    return "\n".join(["| corpus | hours | licence | attribution |", "|---|---:|---|---|", *rows]) if rows else ""


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
