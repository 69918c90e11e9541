"""What a run shows: a progress bar, or lines where there is no terminal, with one loss; TensorBoard has all scalars."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.loop.checkpointing import Progress


class Monitor:
    """Reports on a run from `start` to `steps`; one that is not `enabled` (other processes) stays silent.

    The speed is in seconds of audio per second where `sample_rate` is known, else in items per second.
    """

    def __init__(self, directory: Path, start: Progress, steps: int, sample_rate: int | None, enabled: bool) -> None:
        self.steps = steps
        self.sample_rate = sample_rate
        self.enabled = enabled
        self._unit = "audio s/s" if sample_rate else "items/s"
        self._last_step = start.step
        self._amount = self._total(start)
        self._writer: SummaryWriter | None = None
        self._bar: tqdm[Any] | None = None
        if enabled:
            self._writer = SummaryWriter(str(directory / "tensorboard"), purge_step=start.step + 1)
        if enabled and sys.stdout.isatty():
            self._bar = tqdm(total=steps, initial=start.step, file=sys.stdout, unit="step", dynamic_ncols=True)

    def say(self, text: str) -> None:
        """Print a line without disturbing the bar."""
        if self.enabled:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def advance(self) -> None:
        """Move the bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def interval(self, progress: Progress, means: dict[str, float], seconds: float) -> None:
        """Report the means of an interval that took `seconds` of training and ended at `progress`."""
        steps, self._last_step = progress.step - self._last_step, progress.step
        amount, self._amount = self._total(progress) - self._amount, self._total(progress)
        speed = f"{amount / max(seconds, 1e-9):.1f} {self._unit}"
        self._scalars(progress.step, means | {"speed": amount / max(seconds, 1e-9)})
        losses = [f"{name} {value:.4f}" for name, value in means.items() if name.endswith("/loss")]
        text = losses[0] if losses else ""
        if progress.nonfinite_steps:
            text += f"  not finite {progress.nonfinite_steps}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{text}  {speed}")
        else:
            left = seconds / max(steps, 1) * (self.steps - progress.step)  # at the speed of now: losses join on the way
            self.say(f"step {progress.step}/{self.steps}  {text}  {speed}  {_clock(left)} left")

    def validation(self, step: int, means: dict[str, float], is_best: bool) -> None:
        """Report the means over the validation set, of which the score alone is printed if there is one."""
        self._scalars(step, {f"validation/{name}": value for name, value in means.items()})
        shown = {"score": means["score"]} if "score" in means else means
        values = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        self.say(f"validation after step {step}: {values}{'  (best so far)' if is_best else ''}")

    def close(self) -> None:
        """Finish the bar and write what TensorBoard still holds."""
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def _total(self, progress: Progress) -> float:
        return progress.audio_seconds if self.sample_rate else progress.items

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


def _clock(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02d}:{int(seconds) % 60:02d}"
