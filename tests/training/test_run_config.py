from dataclasses import dataclass, field

import pytest

from training.data.augment import AugmentConfig, BlurConfig
from training.data.datasets import SegmentConfig
from training.density.flows import DensityConfig
from training.evaluate.options import Comparison
from training.loop.trainer_config import TrainerConfig
from training.run_config import load_config, write_config
from training.runs.corpus_run import CorpusRun
from training.runs.student import StudentLosses
from training.runs.waveglow import WaveGlowLosses
from training.runs.wavenet import WaveNetRun
from vocoder.config import ConfigError
from vocoder.plain_yaml import parse_yaml

TEXT = "name: first\ntrainer: {steps: 10, batch_size: 4, learning_rate: 1e-3}\n"


@dataclass(frozen=True)
class Losses:
    mel: float = 1.0
    on: bool = True


@dataclass(frozen=True)
class Run:
    name: str
    trainer: TrainerConfig
    losses: Losses = field(default_factory=Losses)
    scales: tuple[int, ...] = (1,)
    limit: float | None = None

    @classmethod
    def complete(cls, settings):
        settings.setdefault("limit", float(len(settings["name"])))


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(TEXT)
    return path


def test_overrides_apply_in_order_and_written_settings_can_be_read(config_file, tmp_path):
    overrides = ["trainer.steps=5", "trainer.steps=20", "losses.mel=2", "scales=[2, 3]", "limit=1e-2", "name=no"]
    run = load_config(Run, config_file, overrides)
    assert run.trainer == TrainerConfig(steps=20, batch_size=4, learning_rate=1e-3)
    assert (run.losses, run.scales, run.limit, run.name) == (Losses(mel=2.0), (2, 3), 0.01, "no")
    run = load_config(Run, config_file, ["losses.on=false", "scales=[4]"])
    (tmp_path / "copy.yaml").write_text("older")
    (tmp_path / "older.yaml").hardlink_to(tmp_path / "copy.yaml")
    write_config(run, tmp_path / "copy.yaml")
    assert (tmp_path / "older.yaml").read_text() == "older"  # it is replaced, because a full disk must not destroy it
    assert load_config(Run, tmp_path / "copy.yaml") == run
    assert load_config(Run, config_file, ["name=longer"]).limit == 6.0
    assert load_config(Run, config_file, ["limit=1.0"]).limit == 1.0


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (TEXT, ["trainer.step=3"], "trainer has no field step; known: steps"),
        (TEXT, ["trainer.steps=0"], "steps must be at least 1, not 0"),
        (TEXT, ["trainer.betas=[0.9]"], "betas must be two numbers"),
        (TEXT, ["trainer.decay=exp"], "trainer.decay must be one of 'cosine', 'linear', 'constant', not 'exp'"),
        (TEXT, ["name.x=3"], "cannot set 'name.x=3': name is a single value"),
        (TEXT, ["losses.on=yes"], "losses.on must be bool, not 'yes'"),
        (TEXT, ["steps"], "must look like name=value"),
        (TEXT, ["scales=[1"], "not valid YAML"),
        ("- 1\n", [], "must hold settings as `name: value`, not list"),
        ("name: a\nname: b\n", [], "'name' is set twice"),
        ("name: first\n", [], "lacks trainer"),
        (TEXT + "1: 2\nx: 3\n", [], "has no field 1, x"),
        ("name: !!map [a]\n", [], "not valid YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", [], "not valid YAML"),
    ],
)
def test_invalid_files_and_overrides_are_rejected(config_file, text, overrides, message):
    config_file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(Run, config_file, overrides)
    assert message in str(caught.value)
    assert str(config_file) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"cannot read .*none\.yaml: No such file"):
        load_config(Run, config_file.with_name("none.yaml"))


def test_numbers_and_booleans_follow_yaml_1_2():
    text = "[1e-3, 1E5, -2.5e+3, .5, 3, 0.1, true, false, yes, no, off, .inf, 1.2.3, e5, 2020-01-01]"
    words = ["yes", "no", "off", float("inf"), "1.2.3", "e5", "2020-01-01"]
    assert parse_yaml(text) == [1e-3, 1e5, -2500.0, 0.5, 3, 0.1, True, False, *words]


TRAINER = TrainerConfig(steps=1, batch_size=1)


@pytest.mark.parametrize(
    ("kind", "settings", "text"),
    [
        (AugmentConfig, {"noise_db": (-30.0, -40.0)}, r"noise_db must be a range \[low, high\]"),
        (BlurConfig, {"bands": 4}, "bands and frames must be odd"),
        (SegmentConfig, {"segment_length": 1000}, "multiple of hop_length"),
        (Comparison, {"min_seconds": 3.0, "max_seconds": 2.0}, "--max-seconds must be at least 3"),
        (WaveGlowLosses, {"adversarial": 1.0, "critics_from": 5}, "must be at least samples_from 1000"),
        (StudentLosses, {"regulariser": 4.0}, "closed"),
        (WaveNetRun, {"segments": SegmentConfig(margin=100)}, "segments.margin is 100 instead of 512"),
        (DensityConfig, {"hidden": ()}, "hidden must list"),
        (DensityConfig, {"kind": "maf", "image": True}, "only realnvp and glow"),
        (DensityConfig, {"kind": "glow", "image": True, "channels": 6, "frames": 4}, "multiples of 4, not 6 x 4"),
        (DensityConfig, {"kind": "glow", "image": True, "frames": 4, "hidden": (4, 8)}, "equal channels"),
        (DensityConfig, {"kind": "maf", "channels": 1}, "at least two numbers"),
        (DensityConfig, {"kind": "nice", "generations": 2}, "generations are for maf and iaf only"),
        (DensityConfig, {"kind": "maf", "generations": 81}, "from 2 to the 80 numbers"),
    ],
)
def test_invalid_settings_are_rejected_by_name(kind, settings, text):
    more = {"manifest": "m", "output": "o", "trainer": TRAINER} if issubclass(kind, CorpusRun) else {}
    with pytest.raises(ConfigError, match=text):
        kind(**settings, **more)
