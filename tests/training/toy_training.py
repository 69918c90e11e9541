"""A small objective with two phases, its data and a trainer, for the tests of the trainer."""

import json
from functools import partial

import torch
from safetensors.torch import load_file
from torch import nn

from training.loop.objective import Objective
from training.loop.trainer import Trainer
from training.loop.trainer_config import TrainerConfig
from vocoder.mel.config import preset

SAMPLE_RATE = 100
assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


class Tones:
    """Noise around a constant; items only depend on (epoch, index)."""

    def __init__(self, length=26):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        epoch, index = key
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        return {"x": torch.randn(8, generator=generator) + 0.5, "speaker": index % 3}


class ToyObjective(Objective):
    """An autoencoder and a critic that skips every third step, with random `noise`, and NaN at steps `poison`."""

    def __init__(self, noise=0.0, poison=(), width=4):
        model = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Dropout(noise), nn.Linear(width, 8))
        super().__init__(model, preset("nvidia"))
        self.critic = nn.Linear(8, 1)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("initialised", torch.tensor(False))
        self.register_buffer("last", torch.zeros(8))
        self.noise = noise
        self.poison = set(poison)
        self.on_step = None
        self.leaks = []

    def phases(self):
        model = (*self.model.parameters(), *self.unused.parameters())
        return {"model": model, "critic": tuple(self.critic.parameters())}

    def initialise(self, batches):
        self.mean.copy_(torch.stack([batch["x"].mean(0) for batch in batches]).mean(0))
        self.initialised.fill_(True)

    def loss(self, phase, batch, step):
        assert self.initialised
        if self.on_step is not None:
            self.on_step(step)
        x = batch["x"] - self.mean
        frozen = self.critic if phase == "model" else self.model
        self.leaks += [phase for parameter in frozen.parameters() if parameter.requires_grad]
        made = self.model(x)
        if phase == "critic":
            return None if step % 3 == 2 else (self._critic_loss(made, x), {})
        self.last.copy_(x[0])
        distance = (made - x).square().mean()
        distance = distance + self.noise * torch.rand(()) * made.mean()
        scale = float("nan") if step in self.poison else 1.0
        return scale * (distance - 0.1 * self.critic(made).mean()), {"distance": distance.detach()}

    def _critic_loss(self, made, x):
        return self.critic(made).mean() - self.critic(x).mean() + self.critic(x).square().mean()

    def validate(self, batch):
        x = batch["x"] - self.mean
        return {"score": (self.model(x) - x).square().mean(), "draw": torch.rand(())}

    def parts(self, batch, step):
        raise NotImplementedError

    def export(self, directory, provenance):
        directory.mkdir()
        torch.save(self.model.state_dict(), directory / "model.pt")
        (directory / "config.json").write_text(json.dumps(provenance))


def toy_config(**changes):
    """Return the settings of a run of 20 steps."""
    values = {"steps": 20, "batch_size": 4, "warmup_steps": 5, "log_steps": 5, "validation_steps": 8}
    return TrainerConfig(**(values | {"device": "cpu", "learning_rate": 1e-2} | changes))


def toy_trainer(directory, config, objective=None, resume=False):
    """Return a trainer of a toy with fixed initial weights."""
    more = {"sample_rate": SAMPLE_RATE, "provenance": {"data": "tones"}, "resume": resume}
    return Trainer(objective or seeded_toy(), Tones(), Tones(10), config, directory, **more)


def seeded_toy(**arguments):
    """Return an objective with the same initial weights for every test."""
    torch.manual_seed(0)
    return ToyObjective(**arguments)


def stop_at(trainer, step):
    """Ask the trainer to stop after `step` steps, as a signal would."""

    def ask(present):
        trainer.interruption.requested |= present + 1 == step

    trainer.objective.on_step = ask


def saved_run(directory):
    """Return the content of the last checkpoint except its training time."""
    last = directory / "last"
    summary = json.loads((last / "trainer.json").read_text())
    del summary["progress"]["minutes"]
    saved = {name: load_file(last / f"{name}.safetensors") for name in ("objective", "ema")}
    saved |= {name: torch.load(last / f"{name}.pt", weights_only=True) for name in ("optimisers", "random")}
    return saved | {name: summary[name] for name in ("progress", "ema_updates")}
