"""What a server refuses or fails at, as exceptions made of its problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "AuthenticationError",
    "IncompleteError",
    "InvalidRequestError",
    "NoAnswerError",
    "Problem",
    "RateLimitedError",
    "ServerError",
    "UnavailableError",
    "UnknownModelError",
    "VocoderError",
    "error_of",
    "read_problem",
]

TYPE_PREFIX = "urn:vocoder:problem:"
COMMON = frozenset({"type", "title", "status", "detail", "request_id", "retry_after"})


@dataclass(frozen=True)
class Problem:
    """A problem document.

    Attributes:
        status: the HTTP status code.
        name: what is wrong, for machines, such as "queue-full"; the server's document lists them.
        detail: what is wrong and what would be right, for people.
        request_id: finds the request in the server's log.
        retry_after: seconds after which it may go better; None where waiting does not help.
        fields: whatever else the server told, such as `errors` or `limit_frames`.
    """

    status: int
    name: str
    detail: str
    request_id: str | None = None
    retry_after: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


class VocoderError(Exception):
    """What every error of a client is; `problem` is the server's own document, None where there is none."""

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class InvalidRequestError(VocoderError):
    """The mel, the audio or an option is not as the server wants it; the same again fails again."""


class AuthenticationError(VocoderError):
    """An API key is missing, unknown, or may not do this (401, 403)."""


class UnknownModelError(VocoderError):
    """There is no such model, or no such address (404)."""


class RateLimitedError(VocoderError):
    """The quota of the API key is used up for now (429)."""


class UnavailableError(VocoderError):
    """The server is full, loading or stopping, or was not fast enough (503, 504)."""


class ServerError(VocoderError):
    """The server failed (other 5xx)."""


class NoAnswerError(VocoderError):
    """The server could not be reached, or did not answer in time."""


class IncompleteError(VocoderError):
    """A stream ended before all of its audio had come."""


BY_STATUS: dict[int, type[VocoderError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: UnknownModelError,
    429: RateLimitedError,
    503: UnavailableError,
    504: UnavailableError,
}


def error_of(problem: Problem) -> VocoderError:
    """Return the exception for a problem."""
    kind = BY_STATUS.get(problem.status, ServerError if problem.status >= 500 else InvalidRequestError)
    return kind(f"{problem.status} {problem.name}: {problem.detail}", problem)


def read_problem(status: int, body: str | bytes, retry_after: str | None = None) -> Problem:
    """Return the problem in a body, or one made of the status alone where the answer is no problem document."""
    try:
        document = json.loads(body)
        name = str(document["type"]).removeprefix(TYPE_PREFIX)
        detail = str(document["detail"])
    except (ValueError, TypeError, KeyError):  # from a proxy, perhaps
        return Problem(status, "unknown", f"The server answered with status {status}.", None, _seconds(retry_after))
    wait = document.get("retry_after", retry_after)
    fields = {member: value for member, value in document.items() if member not in COMMON}
    return Problem(status, name, detail, document.get("request_id"), _seconds(wait), fields)


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):  # none, or a date
        return None
