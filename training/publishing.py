"""Publishing trained models: the directory, and a model card with architecture, data, licence and scores."""

import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from training.corpora.corpus import UNKNOWN
from training.critics import copy_critics
from training.evaluate.metric import Column
from training.evaluate.metrics import METRICS
from training.evaluate.report import SPEED, Summary, cells, template
from training.provenance import all_data, together, with_inheritance
from vocoder.checkpoint import Checkpoint, load_model, save_model
from vocoder.config import to_dict
from vocoder.loading import shipped_models
from vocoder.mel.config import MelConfig
from vocoder.models.families import FAMILIES, Families, family_of

COLUMNS = (
    *METRICS,
    Column("mcd_db", "MCD dB", 2, ""),  # this and the next two are of models measured before 0.3
    Column("f0_rmse_cents", "F0 RMSE cents", 1, ""),
    Column("voicing_error", "voicing err. %", 1, ""),
    Column("nats", "nats/sample", 3, ""),
    SPEED,
    Column("density_times_real_time", "density x real time", 1, ""),
)
"""columns of the scores in cards, which explain them"""
_FREE = re.compile(r"public domain|CC0-1.0|(CC-BY-\d|0?BSD\b|MIT\b|ISC\b|Apache-|PDDL-|Unlicense)[^ ]*( \(.*\))?")
"""licences whose works may be used in a work under any other licence, with attribution"""
_ALIKE = re.compile(r"CC-BY-SA-[2-9][^ ]*")


def publish(
    models: Sequence[Path],
    output: Path,
    quality: Mapping[str, Any],
    notes: str = "",
    corrections: int | None = None,
    dtype: str = "float16",
) -> None:
    """Write the directory of a trained model, or of the mean of several; print its size and its weights' licence.

    `quality` is a block of quality.json; if it is empty, the model keeps its scores unless its corrections change.
    `notes` is Markdown. Raises ValueError if the model cannot be used.
    """
    checkpoint = mean_of(models)
    config: Any = checkpoint.model.config
    if corrections is not None:
        if not hasattr(config, "corrections"):
            raise ValueError("--corrections is for vocoders, but this model makes no audio")
        checkpoint.model.config = replace(config, corrections=corrections)
    scores = dict(quality or (checkpoint.quality if checkpoint.model.config == config else {}))
    provenance, mel_config = with_inheritance(checkpoint.provenance), checkpoint.mel_config
    card = model_card(output.name, checkpoint.model, mel_config, provenance, scores, notes)
    precision = getattr(torch, dtype)
    save_model(output, checkpoint.model, mel_config, provenance, scores, precision, card)
    critics = ", with the critics that it was trained with" if copy_critics(models[-1], output, precision) else ""
    size = (output / "model.safetensors").stat().st_size
    parameters = sum(map(torch.numel, checkpoint.model.parameters()))
    print(f"{output}: {parameters:,} parameters, {size / 1e6:.1f} MB in {dtype}{critics}")
    print(f"licence of the weights: {licence_of(provenance)}")
    for warning in licence_warnings(provenance):
        print(f"WARNING: {warning}", file=sys.stderr)


def mean_of(models: Sequence[Path]) -> Checkpoint:
    """Return the last model with the mean of all models' weights, the recordings of all, and no scores.

    Models trained from the same start with different seeds or speech lie in one basin, and their mean is better than
    each ("Model soups", arXiv 2203.05482). The mean of a model and its fine-tuned version keeps the abilities of the
    original and most of the gain (arXiv 2109.01903). A single model is returned unchanged.

    Raises a ValueError if architectures or mel configs differ.
    """
    checkpoints = [load_model(model) for model in models]
    if len(models) == 1:
        return checkpoints[0]
    states = [checkpoint.model.state_dict() for checkpoint in checkpoints]
    kinds = [
        (checkpoint.family, checkpoint.mel_config, {name: value.shape for name, value in state.items()})
        for checkpoint, state in zip(checkpoints, states, strict=True)
    ]
    for model, kind in zip(models, kinds, strict=True):
        if kind != kinds[-1]:
            raise ValueError(f"cannot average {model} and {models[-1]}: their architectures or mel configs differ")
    for name, value in states[-1].items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name] for state in states]).mean(dim=0))
    provenance = together([checkpoint.provenance for checkpoint in checkpoints])
    return replace(checkpoints[-1], provenance=provenance, quality={})


def write_mean(models: Sequence[Path], output: Path) -> None:
    """Write the mean of models to a directory, with the critics of the last; raises like `mean_of`."""
    mean = mean_of(models)
    save_model(output, mean.model, mean.mel_config, mean.provenance)
    copy_critics(models[-1], output, torch.float32)


def model_card(
    name: str,
    model: nn.Module,
    mel_config: MelConfig,
    provenance: Mapping[str, Any],
    quality: Mapping[str, Any] = MappingProxyType({}),
    notes: str = "",
    families: Families = FAMILIES,
) -> str:
    """Return the text of a model's README.md. Its class must be in one of the `families`."""
    provenance, family = with_inheritance(provenance), family_of(model, families)
    licences = list(_corpora(provenance))
    alike = _share_alike(licences)
    scores, titles = _scores(name, quality) if quality else ([], [])
    headings = {column.name: column.title for column in COLUMNS}
    return template("model_card.md").render(
        name=name,
        shipped=name in shipped_models(),
        family=family,
        speaks=family not in ("guard", "adapter", "density", "vae"),
        parameters=sum(map(torch.numel, model.parameters())),
        mel=to_dict(mel_config),
        known=UNKNOWN if UNKNOWN in licences else (alike or "other").lower(),
        alike=alike,
        provenance={"training": None, "source": None, "machine": {}, "inherited": (), "data": ()} | provenance,
        software=", ".join(f"{name} {version}" for name, version in provenance.get("software", {}).items()),
        data=_data(provenance),
        licences=licences,
        warnings=licence_warnings(provenance),
        scores=scores,
        titles=titles,
        definitions={headings.get(key, key): text for key, text in quality.get("definitions", {}).items()},
        notes=notes.strip(),
    )


def licence_of(provenance: Mapping[str, Any]) -> str:
    """Return the licence of the weights with the reason: a share-alike licence of their data, or all licences."""
    corpora = _corpora(provenance)
    named, alike = _named(corpora), _share_alike(corpora)
    if UNKNOWN in corpora:
        return f"unknown, because nobody named that of {', '.join(corpora[UNKNOWN])}"
    if _at_odds(corpora):
        return "none is known to allow sharing them"
    if alike is None:
        return f"{', '.join(named.values())}; README.md has the attributions" if named else "not stated: no recordings"
    others = ", ".join(text for licence, text in named.items() if licence != alike)
    rest = f" The other recordings do not change that: {others}." if others else ""
    names = ", ".join(corpora[alike])
    return f"{alike}, because it is share-alike, and the weights learnt from {names}, which are under it.{rest}"


def licence_warnings(provenance: Mapping[str, Any]) -> list[str]:
    """Return a warning for every corpus of unknown licence, and one if licences exclude each other."""
    corpora = _corpora(provenance)
    warnings = [
        f"The licence of {corpus} is unknown: do not share these weights before you know that you may "
        "(vocoder-train prepare --licence NAME records it)."
        for corpus in corpora.get(UNKNOWN, ())
    ]
    if odd := _at_odds(corpora):
        all_of = " and ".join(_named(corpora)[licence] for licence in odd)
        warnings.append(f"No licence is known to allow sharing these weights: it would have to suit {all_of}.")
    return warnings


def _corpora(provenance: Mapping[str, Any]) -> dict[str, dict[str, None]]:
    """Return the names of a model's corpora, inherited ones included, by licence."""
    corpora: dict[str, dict[str, None]] = {}
    for entry in all_data(with_inheritance(provenance)):
        corpora.setdefault(entry["licence"], {})[entry["corpus"]] = None
    return dict(sorted(corpora.items()))


def _named(corpora: Mapping[str, Iterable[str]]) -> dict[str, str]:
    in_brackets = {licence: f" ({', '.join(names)})" for licence, names in corpora.items()}
    return {licence: licence.removesuffix(names) + names for licence, names in in_brackets.items()}


def _at_odds(licences: Iterable[str]) -> list[str]:
    """Return the licences that must be kept, if there are several that are not all versions of CC-BY-SA."""
    strict = [licence for licence in licences if licence != UNKNOWN and not _FREE.fullmatch(licence)]
    return strict if len(strict) > 1 and not all(map(_ALIKE.fullmatch, strict)) else []


def _share_alike(licences: Collection[str]) -> str | None:
    """Return the newest version of CC-BY-SA among the licences, which older ones allow, if all others permit it."""
    settled = UNKNOWN not in licences and not _at_odds(licences)
    return max(filter(_ALIKE.fullmatch, licences), default=None) if settled else None


def _data(provenance: Mapping[str, Any]) -> list[list[str]]:
    """Return the table cells of each corpus; one that was inherited in several ways is listed once, with all ways."""
    rows: dict[tuple[str, ...], tuple[list[str], dict[str, None]]] = {}
    for entry in all_data(provenance):
        name = entry["corpus"] + (" (synthetic)" if entry.get("synthetic") else "")
        key = (entry["corpus"], entry["licence"], entry.get("attribution", ""))
        hours = f"{entry['hours']:.2f}" if "hours" in entry else "-"
        _, ways = rows.setdefault(key, ([name, hours, *key[1:]], {}))
        steps = entry["through"].split(", ") if "through" in entry else ["this training"]
        roles = [step for step in steps if not step.startswith("start_from ")]
        ways[(roles[-1] if roles else steps[0]).replace("_from", " from")] = None
    return [[*row, "; ".join(ways)] if provenance.get("inherited") else row for row, ways in rows.values()]


def _scores(name: str, quality: Mapping[str, Any]) -> tuple[list[list[str]], list[str]]:
    """Return the table cells of each voice and candidate, and the column titles."""
    candidates = {name: quality["voices"], **quality.get("baselines", {})}
    known = {key for voices in candidates.values() for scores in voices.values() for key in scores}
    summaries = [
        Summary(candidate, voice, own.get("seen", True), voices[voice]["utterances"], 0.0, voices[voice], {})
        for voice, own in quality["voices"].items()
        for candidate, voices in candidates.items()
        if voice in voices
    ]
    header, *lines = cells(summaries, [column for column in COLUMNS if column.name in known])
    return lines, header[3:]
