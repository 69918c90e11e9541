"""The settings of a training run that do not depend on the objective."""

from dataclasses import dataclass
from typing import Literal

from vocoder.config import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, ConfigError, check_bounds


@dataclass(frozen=True)
class TrainerConfig:
    """How long, how fast and how carefully to train.

    A finished run continues with a larger `steps` and `--resume`: the learning rate then follows the longer schedule
    from that step on, which for a decaying schedule means that it rises again before it falls.
    """

    steps: int
    """Training steps in all; the schedule ends here."""
    batch_size: int
    """Items of one step over all processes together."""
    accumulation: int = 1
    """Equal parts of a batch, computed one after another: less memory, the same mean gradient."""
    recompute: bool = False
    """Compute the activations of gated stacks again in the backward pass: less memory, more time."""
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    """Applied to matrices and kernels, not to biases and scales (parameters of one dimension)."""
    warmup_steps: int = 200
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_rate_scale: float = 0.01
    """Learning rate at the last step, relative to `learning_rate`."""
    clip_norm: float = 10.0
    ema_decay: float = 0.997
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 switches autocast on; objectives may also choose for themselves."""
    device: Literal["auto", "cpu"] = "auto"
    num_workers: int = 0
    """Loader processes of each training process; 0 loads in the training process."""
    initialisation_batches: int = 16
    """Batches from which data-dependent starting values are computed."""
    log_steps: int = 50
    validation_steps: int = 1000
    checkpoint_minutes: float = 10.0
    max_minutes: float | None = None
    """Write a checkpoint and stop after this many minutes of this call; `--resume` continues."""
    max_nonfinite_steps: int = 20
    """Give up after this many steps in a row whose loss or gradient was not finite."""

    def __post_init__(self) -> None:
        counts = "steps batch_size accumulation initialisation_batches log_steps validation_steps max_nonfinite_steps"
        check_bounds(self, **dict.fromkeys(counts.split(), COUNT))
        check_bounds(self, learning_rate=POSITIVE, clip_norm=POSITIVE, checkpoint_minutes=POSITIVE)
        check_bounds(self, max_minutes=POSITIVE, weight_decay=NOT_NEGATIVE, warmup_steps=NOT_NEGATIVE)
        check_bounds(self, num_workers=NOT_NEGATIVE, seed=NOT_NEGATIVE, final_rate_scale=SHARE, ema_decay=SHARE)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be two numbers in [0, 1), not {self.betas}")
