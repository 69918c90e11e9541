"""Strict reading of clients' JSON: anything that parsers read differently is refused."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from server.problems import Problem, invalid_parameter, malformed_body

Kind = TypeVar("Kind", bound=BaseModel)

MAX_LISTS = 2**16
MAX_MEMBERS = 2**10


class Strict(BaseModel):
    """A JSON object with exactly the declared members and types."""

    model_config = ConfigDict(extra="forbid", strict=True)


def read_json(kind: type[Kind], text: bytes, name: str) -> Kind:
    """Read JSON as a `kind`; `name` is the text's name in error messages.

    Raises:
        Problem: 400, the text is not JSON, too long, nested too deeply, or repeats a member.
        ValidationError: the JSON is not a `kind`.
    """
    lists = text.count(b"[") + text.count(b"{")
    if lists > MAX_LISTS or text.count(b":") > MAX_MEMBERS:  # before parsing; no mel needs as many
        most = f"{MAX_LISTS} lists and objects and {MAX_MEMBERS} members"
        raise malformed_body(f"{name} has more than the limit of {most}.")
    try:
        found = kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] != "json_invalid":
            raise
        reason = first["ctx"]["error"].replace("recursion limit exceeded", "it is nested too deeply")
        raise malformed_body(f"{name} cannot be read as JSON: {reason}.") from None
    _check_members(text)
    return found


def once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs of names and values as a dictionary; raises a Problem if a name is repeated."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise invalid_parameter(name, "give it once, not several times")
        found[name] = value
    return found


def _check_members(text: bytes) -> None:
    """Raise a Problem if valid JSON repeats a member, of which parsers silently take the last.

    Lists of numbers are cut out first, because json parses them slowly.
    """
    try:
        json.loads(b"[".join(map(_without_items, text.split(b"["))), object_pairs_hook=once, parse_int=str)
    except Problem as problem:
        raise malformed_body(problem.detail) from None


def _without_items(part: bytes) -> bytes:
    """Return the JSON between two opening brackets without the list's items, unless they have strings or objects."""
    items, end, rest = part.partition(b"]")
    return part if b'"' in items or b"{" in items else end + rest
