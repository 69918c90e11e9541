"""The common part of runs over a corpus: configuration checks, corpus and data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from training.corpora.manifest import Manifest, read_manifest
from training.data.datasets import SegmentConfig, segments_of
from training.loop.batches import EpochDataset
from training.loop.objective import Objective
from training.loop.processes import announce
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from training.provenance import ROLES, origin_of, provenance
from vocoder.config import ConfigError, Count, Rules, to_dict
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config


@dataclass(frozen=True)
class CorpusRun(RunConfig, ABC):
    """The configuration of a run over a corpus of recordings; each kind adds its model, losses and objective."""

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    mel: str = "nvidia"
    """mel preset or mel config file"""
    model: Any = None
    """architecture, with sample_rate, hop_length and n_mels; each kind of run has its own"""
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    validation_items: Count = 64
    """number of segments of the held-out split for validation, without unseen voices"""

    def _rules(self) -> Rules:
        wrong = [
            f"{group}.{name} is {found} instead of {wanted}"
            for group, settings in _following(load_mel_config(self.mel)).items()
            for name, wanted in settings.items()
            if (found := getattr(getattr(self, group), name)) != wanted
        ]
        yield not wrong, f"these settings follow from mel preset {self.mel!r}, leave them out: {', '.join(wrong)}"

    @classmethod
    def complete(cls, settings: dict[str, Any]) -> None:
        """Add the settings that follow from the mel, unless they are given."""
        mel = load_mel_config(str(settings.get("mel", "nvidia")))
        for group, following in _following(mel).items():
            if not isinstance(settings.setdefault(group, {}), dict):
                return  # reported when the settings are checked
            settings[group] = following | settings[group]
        for part, given in {"lpc": mel.name, "head": to_dict(mel)}.items():
            if isinstance(settings["model"].get(part), dict):
                settings["model"][part].setdefault("mel", given)

    @abstractmethod
    def objective(self) -> Objective:
        """Return the objective that the run trains, with its starting weights.

        Raises ConfigError if a model that it starts or learns from is of the wrong kind.
        """

    def origins(self) -> Mapping[str, str]:
        """Return the models that the run starts or learns from, by role."""
        roles = [role for role in ROLES if role != "teacher" or self.taught]
        return {role: name for role in roles if (name := getattr(self, role, None)) is not None}

    @property
    def taught(self) -> bool:
        """Whether the run needs its teacher, if it names one; otherwise it is not loaded."""
        return True

    def items(self, manifest: Manifest, objective: Objective, held_out: bool) -> EpochDataset:
        """Return the segments that the run trains on, or the held-out ones for validation."""
        count = self.validation_items if held_out else 0
        return segments_of(manifest, self.segments, count, objective.mel_config, objective.wants_pitch)


def _following(mel: MelConfig) -> dict[str, dict[str, int]]:
    """Return the settings of model and segments that follow from a mel."""
    model = {name: getattr(mel, name) for name in ("sample_rate", "hop_length", "n_mels")}
    return {"model": model, "segments": {"hop_length": mel.hop_length, "margin": mel.n_fft // 2}}


def corpus_at(path: str, sample_rate: int) -> Manifest:
    """Return the manifest of a corpus. Raises ConfigError if its sample rate differs from the model's, in Hz."""
    announce(f"loading {path}")
    manifest = read_manifest(path)
    if manifest.sample_rate != sample_rate:
        rates = f"{path} is at {manifest.sample_rate} Hz, the model at {sample_rate} Hz"
        raise ConfigError(f"{rates}: prepare the corpus into another folder with --sample-rate {sample_rate}")
    return manifest


def train(config: CorpusRun, resume: bool, manifest: Manifest | None = None) -> Path:
    """Train as configured and return the directory of the last model.

    The corpus is the configured one unless it was already read; raises like `corpus_at`.
    """
    manifest = manifest or corpus_at(config.manifest, config.model.sample_rate)
    set_seed(config.trainer.seed)
    origin = origin_of(**config.origins())
    objective = config.objective()
    minutes = sum(entry.duration for entry in manifest.select("train")) / 60
    voices = len(manifest.trained_speakers)
    million = sum(parameter.numel() for phase in objective.phases().values() for parameter in phase) / 1e6
    announce(f"{minutes:.1f} minutes of speech, speakers: {voices}; {million:.2f} million parameters to fit")
    sets = (config.items(manifest, objective, held_out) for held_out in (False, True))
    origin = provenance(manifest) | origin
    return fit(config, objective, *sets, provenance=origin, sample_rate=manifest.sample_rate, resume=resume)
