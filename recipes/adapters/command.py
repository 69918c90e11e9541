"""`python -m recipes adapter`: fit an adapter from mels of another mel config to those of a model.

It learns from frames of the same audio in both mel configs: a linear map, with a network beside it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from accelerate.utils import set_seed
from sklearn.linear_model import Ridge
from torch import Tensor

from training.corpora.manifest import Entry, Manifest, ManifestError, read_manifest
from training.data.augment import AugmentConfig, augmented
from training.data.stores import AudioStore
from training.loop.batches import FixedItems
from training.loop.objective import Batch, Objective, Parts, Phases
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from training.provenance import provenance
from training.publishing import model_card
from training.run_config import command_of
from vocoder.adapt.adapter import FrameTimes
from vocoder.audio.resampling import resample
from vocoder.checkpoint import load_model, save_model
from vocoder.config import Checked, NotNegative, Positive, Range, Rules
from vocoder.loading import model_directory, shipped_models
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.convert import convert, plain
from vocoder.mel.sharpening import sharpening_of
from vocoder.mel.spectrogram import MelSpectrogram, band_centres
from vocoder.models.adapter import AdapterConfig, AdapterModel

DEFAULTS = Path(__file__).with_name("adapter.yaml")
SHORTEST = 0.4  # seconds of an utterance
SILENT_FRAMES = 20
"""frames of digital silence added to the data, so that silence stays silence"""
QUIET_NATS, QUIET_WEIGHT = 7.0, 0.3
"""bands this far below the loudest of their frame are hardly audible; their errors get this weight"""
MOST_FITTED = 150_000
"""items that the linear map is fitted to, in double precision: a gigabyte of inputs"""


@dataclass(frozen=True)
class Levels(Checked):
    """The levels to which audio is scaled."""

    gain_db: Annotated[Range, (-100, 100)] = (-20.0, 8.0)
    """range of random gains, limited so that audio stays within full scale"""
    peak: Annotated[float, (1e-6, 1)] | None = None
    """peak to which audio is scaled instead, for mel configs that require it"""
    top_db: Positive | None = None
    """range below its maximum to which every other mel is limited, in units of the mel, like librosa's top_db"""

    def applied(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return audio (T,) at a random level, or at `peak`."""
        loudest = float(np.abs(x).max())
        if loudest == 0.0:
            return x
        gain = 10.0 ** (rng.uniform(self.gain_db[0], self.gain_db[1]) / 20.0)
        return x * np.float32(min(gain, 0.999 / loudest) if self.peak is None else self.peak / loudest)


@dataclass(frozen=True)
class AdapterRun(RunConfig):
    """The configuration of `python -m recipes adapter`. A linear map without a network is fitted in one step."""

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    mel: str
    """preset or mel config file of the adapter's input mels"""
    target: str = "nvidia"
    """mel config of the output: a shipped model, a model directory, a preset or a mel config file"""
    before: int = 2
    after: int = 1
    """frames of context before and after each frame, in addition to those that longer source windows need"""
    hidden: tuple[int, ...] | None = None
    """layer widths of the network beside the linear map, () for none; by default 128 + 16 per frame of context"""
    utterances: Annotated[int, (2, math.inf)] = 300
    """maximum number of utterances of the training split"""
    held_out: Annotated[float, (0.001, 0.999)] = 0.1
    """share of utterances held out for validation"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    levels: Levels = field(default_factory=Levels)
    ridge: NotNegative = 1e-4
    sharpen: Annotated[float, (0, 1)] = 0.0
    """strength at which output mels are sharpened, to make up for the contrast that an estimate lacks"""

    @classmethod
    def complete(cls, settings: dict[str, Any]) -> None:
        """Name the run's folder after its mels, unless it is given."""
        settings.setdefault("output", f"runs/adapters/{Path(str(settings.get('mel'))).stem}")

    def _rules(self) -> Rules:
        source = load_mel_config(self.mel)
        usable = source.mean is None or source.scaled
        yield usable, f"an adapter needs mels without statistics, which are removed before it: not {self.mel}"


def train(config: AdapterRun, resume: bool) -> None:
    """Fit the adapter of a configuration."""
    source, named = plain(load_mel_config(config.mel)), config.target in shipped_models()
    is_model = named or Path(config.target, "config.json").is_file()
    target = load_model(model_directory(config.target)).mel_config if is_model else load_mel_config(config.target)
    manifest = read_manifest(config.manifest)
    set_seed(config.trainer.seed)
    model = AdapterModel(_architecture(config, source, target))
    entries = usable(manifest, source, target)
    order = np.random.default_rng(config.trainer.seed).permutation(len(entries))[: config.utterances]
    chosen, cut = [entries[i] for i in order], round(len(order) * (1.0 - config.held_out))
    fitted = frames_of(manifest, chosen[:cut], model.config, config, config.augment)
    held = frames_of(manifest, chosen[cut:], model.config, config, AugmentConfig())
    objective = AdapterObjective(model, source, fitted, config.ridge)
    fit(config, objective, fitted, held, provenance=provenance(Manifest(manifest.root, tuple(entries))), resume=resume)


def usable(manifest: Manifest, source: MelConfig, target: MelConfig) -> list[Entry]:
    """Return the utterances that an adapter can learn from; raises ManifestError if there are fewer than two.

    A source that ends below the target hides whether a recording does, too. The average of both would sound dull.
    """
    lowest = target.f_max if source.f_max < target.f_max else 0.0
    found = [e for e in manifest.select("train") if e.duration >= SHORTEST and e.band_edge >= lowest]
    if len(found) > 1:
        return found
    raise ManifestError(f"{manifest.root} has {len(found)} of {SHORTEST} s or more that reach {lowest:g} Hz, not 2")


def _architecture(config: AdapterRun, source: MelConfig, target: MelConfig) -> AdapterConfig:
    """Return the architecture of an adapter that covers the source's windows."""
    longer = source.win_length / source.sample_rate - target.win_length / target.sample_rate
    more = max(0, math.ceil(longer / 2.0 * target.sample_rate / target.hop_length))  # by which they reach further
    before, after = config.before + more, config.after + more
    hidden = (128 + 16 * (before + 1 + after),) if config.hidden is None else config.hidden
    # All bands may contain energy below the target's highest frequency, except from the third band above it on.
    above = int((band_centres(source)[0] >= target.f_max).sum())
    return AdapterConfig(target, source.n_mels, source.n_mels - max(above - 2, 0), before, after, hidden)


@torch.no_grad()
def frames_of(
    manifest: Manifest, entries: list[Entry], model: AdapterConfig, run: AdapterRun, augment: AugmentConfig
) -> FixedItems:
    """Return an adapter's training data from utterances, each with its own augmentation.

    Items are `windows` (taps, bands) of the source and `frames` (n_mels,) of the adapter's target.
    """
    store, rng, levels = AudioStore(manifest, entries), np.random.default_rng(run.trainer.seed), run.levels
    source = plain(load_mel_config(run.mel))
    sharpening = sharpening_of(model.target, torch.device("cpu"), run.sharpen)
    takes, makes = MelSpectrogram(source), MelSpectrogram(model.target)
    grid, audio = FrameTimes(source, model.target, model.before, model.after), []
    for i, entry in enumerate(entries):
        x, _ = augmented(store.whole(i), entry.band_edge, manifest.sample_rate, augment, rng)
        audio.append(torch.from_numpy(levels.applied(x, rng)))
    windows, frames = [], []
    for i, each in enumerate((*audio, torch.zeros(SILENT_FRAMES * model.target.hop_length))):
        mel = takes(resample(each, manifest.sample_rate, source.sample_rate)[None])[0]
        if levels.top_db is not None and i % 2:
            mel = convert(mel.clamp_min(mel.max() - levels.top_db), source, source)
        own = sharpening.push(makes(resample(each, manifest.sample_rate, model.target.sample_rate)[None]))[0]
        windows.append(grid.windows(mel[: model.looked_at], 0, own.shape[1], 0, mel.shape[1]).float())
        frames.append(own.T.float())
    return FixedItems(windows=torch.cat(windows), frames=torch.cat(frames))


class AdapterObjective(Objective):
    """Error of frames in nats, with less weight on quiet bands. It starts from the least-squares linear map.

    A batch has `windows` (B, taps, bands) of the input mels and `frames` (B, n_mels) of the output mels.
    """

    model: AdapterModel

    def __init__(self, model: AdapterModel, source: MelConfig, fitted: FixedItems, ridge: float) -> None:
        super().__init__(model, source)
        self.fitted, self.ridge = fitted, ridge

    def phases(self) -> Phases:
        """Return one update of map and network; none for a map alone, for which the closed form is optimal."""
        return super().phases() if self.model.config.hidden else {}

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Fit the linear map; the network starts with output 0."""
        closed_form(self.model, self.fitted, self.ridge)
        if self.model.config.hidden:
            for parameter in self.model.layers[-1].parameters():
                parameter.zero_()

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the mean error in nats, with less weight on quiet bands."""
        frames = batch["frames"]
        error = torch.nn.functional.smooth_l1_loss(self.model(batch["windows"]), frames, reduction="none", beta=0.1)
        weight = torch.where(_heard(frames), 1.0, QUIET_WEIGHT)
        return {"error": (1.0, (error * weight).sum() / weight.sum())}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean absolute error in nats of audible bands."""
        frames = batch["frames"]
        return {"score": (self.model(batch["windows"]) - frames).abs()[_heard(frames)].mean()}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the adapter's directory, in float16."""
        card = model_card(self.mel_config.name, self.model, self.mel_config, provenance)
        save_model(directory, self.model, self.mel_config, provenance, None, torch.float16, card)


def _heard(frames: Tensor) -> Tensor:
    return frames >= frames.amax(dim=1, keepdim=True) - QUIET_NATS


@torch.no_grad()
def closed_form(model: AdapterModel, data: FixedItems, ridge: float) -> None:
    """Set the inputs' statistics and the least-squares linear map with the penalty `ridge`, by items spread evenly."""
    step = -(-len(data.tensors["frames"]) // MOST_FITTED)
    taken, made = data.tensors["windows"][::step], data.tensors["frames"][::step]
    flat = taken.flatten(0, 1)
    model.mean.copy_(flat.mean(dim=0))
    model.deviation.copy_(flat.std(dim=0).clamp_min(1e-3))
    inputs, outputs = (x.double().cpu().numpy() for x in (model.normalised(taken), made))
    fitted = Ridge(ridge * len(made), copy_X=False).fit(inputs, outputs)
    model.linear.weight.copy_(torch.from_numpy(fitted.coef_))
    model.linear.bias.copy_(torch.from_numpy(fitted.intercept_))


add_arguments, run = command_of(AdapterRun, train, DEFAULTS)
