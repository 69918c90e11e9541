"""The settings that every training run has, whatever its objective."""

from dataclasses import dataclass
from typing import Literal

from vocoder.config import Checked, ConfigError, Count, NotNegative, NotNegativeInt, Positive, Share


@dataclass(frozen=True)
class TrainerConfig(Checked):
    """How long, how fast and how carefully to train.

    A finished run continues with a larger `steps` and `--resume`: the learning rate then follows the longer schedule
    from that step on, which for a decaying schedule means that it rises again before it falls.
    """

    steps: Count
    """Training steps in all; the schedule ends here."""
    batch_size: Count
    """Items of one step over all processes together."""
    accumulation: Count = 1
    """Equal parts of a batch, computed one after another: less memory, the same mean gradient."""
    learning_rate: Positive = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: NotNegative = 0.01
    """Applied to matrices and kernels, not to biases and scales (parameters of one dimension)."""
    warmup_steps: NotNegativeInt = 200
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_rate_scale: Share = 0.01
    """Learning rate at the last step, relative to `learning_rate`."""
    clip_norm: Positive = 10.0
    ema_decay: Share = 0.997
    seed: NotNegativeInt = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 switches autocast on; objectives may also choose for themselves."""
    device: Literal["auto", "cpu"] = "auto"
    num_workers: NotNegativeInt = 0
    """Loader processes of each training process; 0 loads in the training process."""
    initialisation_batches: Count = 16
    """Batches from which data-dependent starting values are computed."""
    log_steps: Count = 50
    validation_steps: Count = 1000
    checkpoint_minutes: Positive = 10.0
    max_minutes: Positive | None = None
    """Write a checkpoint and stop after this many minutes of this call; `--resume` continues."""
    max_nonfinite_steps: Count = 20
    """Give up after this many steps in a row whose loss or gradient was not finite."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be two numbers in [0, 1), not {self.betas}")


@dataclass(frozen=True)
class RunConfig(Checked):
    """Everything that a run depends on; each kind adds its model and its data."""

    output: str
    """folder of the run: checkpoints, TensorBoard logs, and the model in last/model"""
    trainer: TrainerConfig
    """how long and how carefully to train"""
