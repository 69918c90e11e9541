"""The settings of every training run, independent of its objective."""

from dataclasses import dataclass
from typing import Literal

from vocoder.config import Checked, Count, NotNegative, NotNegativeInt, Positive, Rules, Share


@dataclass(frozen=True)
class TrainerConfig(Checked):
    """How long, how fast and how carefully to train.

    To continue a finished run, raise `steps` and pass `--resume`. The learning rate then follows the longer schedule
    from that step, so with a decaying schedule it first jumps up again.
    """

    steps: Count
    """Total training steps; the schedule ends here."""
    batch_size: Count
    """Items per step, over all processes."""
    accumulation: Count = 1
    """Number of equal parts of a batch that are computed one after another: less memory, same mean gradient."""
    learning_rate: Positive = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: NotNegative = 0.01
    """Applied to matrices and kernels, but not to biases and scales (one-dimensional parameters)."""
    warmup_steps: NotNegativeInt = 200
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_rate_scale: Share = 0.01
    """Learning rate at the last step, relative to `learning_rate`."""
    clip_norm: Positive = 10.0
    ema_decay: Share = 0.997
    seed: NotNegativeInt = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 enables autocast; objectives may also choose their own precision."""
    device: Literal["auto", "cpu"] = "auto"
    num_workers: NotNegativeInt = 0
    """Loader processes per training process; 0 loads in the training process."""
    initialisation_batches: Count = 16
    """Batches for data-dependent initial values."""
    log_steps: Count = 50
    validation_steps: Count = 1000
    checkpoint_minutes: Positive = 10.0
    max_minutes: Positive | None = None
    """Write a checkpoint and stop after this many minutes of this call; `--resume` continues."""
    max_nonfinite_steps: Count = 20
    """Give up after this many consecutive steps with a loss or gradient that is not finite."""

    def _rules(self) -> Rules:
        two = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        yield two, f"betas must be two numbers in [0, 1), not {self.betas}"


@dataclass(frozen=True)
class RunConfig(Checked):
    """The configuration of a run; each kind adds its model and data."""

    output: str
    """folder of the run, for checkpoints, TensorBoard logs, and the model in last/model"""
    trainer: TrainerConfig
    """settings of the trainer"""
