"""Progress of a run: a bar, or lines without a terminal, with one loss; TensorBoard gets all scalars."""

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.loop.checkpointing import Progress
from training.loop.processes import announce


class Monitor:
    """Reports on a run from `start` to `steps`; it is silent unless `enabled` (on the main process).

    The speed is in seconds of audio per second if `sample_rate` is known, otherwise in items per second.
    """

    def __init__(self, directory: Path, start: Progress, steps: int, sample_rate: int | None, enabled: bool) -> None:
        self.steps = steps
        self._amount, self._unit = ("audio_seconds", "audio s/s") if sample_rate else ("items", "items/s")
        self._before = replace(start)
        self._writer = SummaryWriter(str(directory / "tensorboard"), purge_step=start.step + 1) if enabled else None
        hidden = not (enabled and sys.stdout.isatty())
        self.bar = tqdm(
            total=steps, initial=start.step, file=sys.stdout, unit="step", dynamic_ncols=True, disable=hidden
        )

    def interval(self, progress: Progress, means: dict[str, float], seconds: float) -> None:
        """Report the means of an interval that took `seconds` of training and ended at `progress`."""
        before, self._before = self._before, replace(progress)
        rate = (getattr(progress, self._amount) - getattr(before, self._amount)) / max(seconds, 1e-9)
        self._scalars(progress.step, means | {"speed": rate})
        text = next((f"{name} {value:.4f}" for name, value in means.items() if name.endswith("/loss")), "")
        if progress.nonfinite_steps:
            text += f"  not finite {progress.nonfinite_steps}"
        text += f"  {rate:.1f} {self._unit}"
        self.bar.set_postfix_str(text)
        if self.bar.disable:
            left = (self.steps - progress.step) * seconds / max(progress.step - before.step, 1)  # at current speed
            announce(f"step {progress.step}/{self.steps}  {text}  {timedelta(seconds=int(left))} left")

    def validation(self, step: int, means: dict[str, float], is_best: bool) -> None:
        """Report the means over the validation set; print only the score if there is one."""
        self._scalars(step, {f"validation/{name}": value for name, value in means.items()})
        shown = {"score": means["score"]} if "score" in means else means
        values = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        announce(f"validation after step {step}: {values}{'  (best so far)' if is_best else ''}")

    def close(self) -> None:
        """Close the bar and flush TensorBoard."""
        self.bar.close()
        if self._writer is not None:
            self._writer.close()

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
