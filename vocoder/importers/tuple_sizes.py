"""How much the tuples of a pickle hold, found without making them."""

import pickletools
from typing import IO, Any

from vocoder.checkpoint import CheckpointError

MAX_TUPLE = 10**6
TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
MARK = pickletools.markobject


def check_tuples(file: IO[bytes]) -> None:
    """Raise a CheckpointError if a tuple holds, with the tuples within it, more than a million values.

    Sixty tuples of the one before, twice, take bytes. To use the last as a key takes Python, which counts each value
    anew, years. The pickle begins where the file stands, which is left there.
    """
    start = file.tell()
    stack: list[Any] = []  # sizes of what the unpickler would have there, and marks
    memo: dict[int, Any] = {}
    for operation, argument, _ in pickletools.genops(file):
        name, before = operation.name, operation.stack_before
        if name == "MEMOIZE" or name.endswith("PUT"):
            memo[len(memo) if name == "MEMOIZE" else int(str(argument))] = stack[-1]
            continue
        count, taken = len(before), []
        if MARK in before or (name == "POP" and stack[-1] is MARK):
            while (item := stack.pop()) is not MARK:
                taken.append(item)
            count = before.index(MARK) if MARK in before else 0
        taken += stack[len(stack) - count :]
        del stack[len(stack) - count :]
        if name.endswith("GET"):
            stack.append(memo[int(str(argument))])
        elif name == "DUP":
            stack += taken * 2
        else:
            size = 1 + sum(taken) if name in TUPLES else 1
            stack += [MARK if kind is MARK else size for kind in operation.stack_after]
        if name in TUPLES and stack[-1] > MAX_TUPLE:
            raise CheckpointError("its pickle has tuples within tuples that hold more than any checkpoint needs")
    file.seek(start)
