"""Recordings held out, minutes and steps of a fine-tuning, from the amount of speech and the speed of the machine."""

import math
from dataclasses import dataclass

HELD_OUT = (3, 12)
"""fewest and most utterances that are held out; a tenth in between"""
MINUTES = (10.0, 60.0)
"""shortest and longest training by default"""
MOST_PASSES = 60
"""most passes over the recordings by default, so that a fast machine does not overfit"""
FEWEST_STEPS = 20
"""taken even if they exceed the minutes"""
FEWEST_THAT_GAINED = 600
"""fewest steps whose model scored higher, as docs/own-voice.md has them"""
USUAL_PACE = 0.4
"""seconds of a step on two idle cores of an AMD EPYC, as docs/own-voice.md has it"""
FEWEST_CHOSEN = 5
"""fewest steps that may be asked for"""
_SLOW = 5.0  # times the usual pace that are too slow to go unsaid
_OVERTIME = 1.5  # times its minutes, and one more, that a run may take on a machine that got slower
_OTHER_WORK = 0.08  # share of the minutes that goes into validation and checkpoints


@dataclass(frozen=True)
class Budget:
    """How long a fine-tuning is expected to take, and the minutes after which it ends in any case."""

    minutes: float
    steps: int
    limit: float | None = None


def held_out(recordings: int) -> int:
    """Return the number of recordings to hold out for validation and scores: a tenth, 3 to 12."""
    return min(max(round(recordings / 10), HELD_OUT[0]), HELD_OUT[1])


def plan(minutes: float | None, seconds_of_speech: float, seconds_per_step: float, seconds_in_a_batch: float) -> Budget:
    """Return the budget of a fine-tuning, by default of 10 x sqrt(minutes of speech) minutes, from 10 to 60."""
    usual = min(max(10.0 * math.sqrt(seconds_of_speech / 60), MINUTES[0]), MINUTES[1])
    wanted = usual if minutes is None else minutes
    steps = int(60 * wanted * (1 - _OTHER_WORK) / seconds_per_step)
    if minutes is None and steps > (most := int(MOST_PASSES * seconds_of_speech / seconds_in_a_batch)):
        wanted, steps = most * seconds_per_step / 60, most
    steps = max(steps, FEWEST_STEPS)
    expected = max(wanted, steps * seconds_per_step / 60)  # more than wanted where the fewest steps take longer
    return Budget(expected, steps, _OVERTIME * expected + 1)


def slow(seconds_per_step: float, threads: int, steps: int | None = None) -> str | None:
    """Return a warning with advice if the machine is far slower than usual, else None; `steps` if they were chosen."""
    times = seconds_per_step / USUAL_PACE
    if times < _SLOW:
        return None
    alone = "begin again with OMP_NUM_THREADS=1, which does not wait for cores that others use, " if threads > 1 else ""
    minutes = math.ceil(FEWEST_THAT_GAINED * seconds_per_step / 60 / (1 - _OTHER_WORK))
    option = f"take --minutes {minutes}" if steps is None else f"would take {minutes} minutes"
    enough = steps is not None and steps >= FEWEST_THAT_GAINED
    few = "" if enough else f": {FEWEST_THAT_GAINED} steps are the fewest that gained, and {option}"
    return (
        f"a step takes {seconds_per_step:.1f} s here, {times:.0f} times as long as on two idle cores of an AMD EPYC. "
        f"Stop other programs that use the processor, {alone}or train on a machine with a GPU{few}."
    )
