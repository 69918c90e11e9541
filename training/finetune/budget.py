"""Chooses a fine-tuning's held-out recordings, minutes and steps from the amount of speech and the machine's speed."""

import math
from dataclasses import dataclass

MOST_PASSES = 60  # default maximum of passes over the recordings, so that fast machines do not overfit
FEWEST_STEPS = 20  # minimum number of steps, even if they exceed the minutes
FEWEST_THAT_GAINED = 600  # smallest number of steps that improved scores in our trials
USUAL_PACE = 0.4  # seconds per step on two idle cores of an AMD EPYC
STEPS_ABOVE_MEL = 800  # steps for the outputs above the mel alone
FEWEST_CHOSEN = 5  # minimum for --steps
_OTHER_WORK = 0.08  # share of the time spent on validation and checkpoints


@dataclass(frozen=True)
class Budget:
    """A fine-tuning's expected minutes, its steps, and the minutes after which it is stopped."""

    minutes: float
    steps: int
    limit: float | None = None


def held_out(recordings: int) -> int:
    """Return the number of recordings to hold out for validation and scores: a tenth, 3 to 12."""
    return min(max(round(recordings / 10), 3), 12)


def plan(minutes: float | None, seconds_of_speech: float, seconds_per_step: float, seconds_in_a_batch: float) -> Budget:
    """Return the budget of a fine-tuning; by default 10 x sqrt(minutes of speech) minutes, limited to 10 to 60."""
    usual = min(max(10.0 * math.sqrt(seconds_of_speech / 60), 10.0), 60.0)
    wanted = usual if minutes is None else minutes
    steps = int(60 * wanted * (1 - _OTHER_WORK) / seconds_per_step)
    if minutes is None and steps > (most := int(MOST_PASSES * seconds_of_speech / seconds_in_a_batch)):
        wanted, steps = most * seconds_per_step / 60, most
    steps = max(steps, FEWEST_STEPS)
    expected = max(wanted, steps * seconds_per_step / 60)  # more than wanted if the minimum of steps takes longer
    return Budget(expected, steps, 1.5 * expected + 1)  # it may take longer if the machine gets slower


def slow(seconds_per_step: float, threads: int, steps: int | None = None) -> str | None:
    """Return a warning with advice if the machine is far slower than usual, else None; `steps` if the user set them."""
    times = seconds_per_step / USUAL_PACE
    if times < 5.0:
        return None
    alone = "restart with OMP_NUM_THREADS=1, which does not wait for cores in use by others, " if threads > 1 else ""
    minutes = math.ceil(FEWEST_THAT_GAINED * seconds_per_step / 60 / (1 - _OTHER_WORK))
    option = f"use --minutes {minutes} for that" if steps is None else f"they would take {minutes} minutes"
    enough = steps is not None and steps >= FEWEST_THAT_GAINED
    few = "" if enough else f": scores improved only from {FEWEST_THAT_GAINED} steps on; {option}"
    return (
        f"a step takes {seconds_per_step:.1f} s here, {times:.0f} times as long as on two idle cores of an AMD EPYC. "
        f"Stop other programs that use the processor, {alone}or train on a machine with a GPU{few}."
    )
