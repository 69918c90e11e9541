"""The client's exceptions, built from the server's problem documents (RFC 9457)."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

NONSENSE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
COMMON = frozenset({"type", "title", "status", "detail", "request_id", "retry_after"})


@dataclass(frozen=True)
class Problem:
    """A problem document.

    `name` is the kind of problem, such as "queue-full"; docs/server.md lists them. `request_id` identifies the request
    in the server's log, `retry_after` is the number of seconds to wait before trying again, and `fields` holds the
    other members, such as `errors` or `limit_frames`.
    """

    status: int
    name: str
    detail: str
    request_id: str | None = None
    retry_after: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


class VocoderError(Exception):
    """Base class of errors of the server and the connection; `problem` is the server's document, or None."""

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class InvalidRequestError(VocoderError):
    """The mel, the audio or an option is invalid; do not repeat the request."""


class AuthenticationError(VocoderError):
    """An API key is missing, unknown or not permitted to do this (401, 403)."""


class UnknownModelError(VocoderError):
    """The model or address does not exist (404)."""


class RateLimitedError(VocoderError):
    """The API key's quota is exhausted for now (429)."""


class UnavailableError(VocoderError):
    """The server is overloaded, loading, stopping, or too slow (503, 504)."""


class ServerError(VocoderError):
    """The server failed (other 5xx)."""


class NoAnswerError(VocoderError):
    """The server cannot be reached or did not answer in time."""


class BadAnswerError(VocoderError):
    """The answer is not one of a vocoder server: it is malformed, too large, or has values that are not finite."""


class IncompleteError(VocoderError):
    """A stream ended before all of its audio arrived."""


BY_STATUS: dict[int, type[VocoderError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: UnknownModelError,
    429: RateLimitedError,
    503: UnavailableError,
    504: UnavailableError,
}


def error_of(problem: Problem) -> VocoderError:
    """Return the exception of a problem."""
    kind = BY_STATUS.get(problem.status, ServerError if problem.status >= 500 else InvalidRequestError)
    return kind(f"{problem.status} {problem.name}: {problem.detail}", problem)


def read_problem(status: int, body: str | bytes, retry_after: str | None = None) -> Problem:
    """Read the problem document in a body, or build a problem from the status if there is none."""
    try:
        document = json.loads(body)
        name = str(document["type"]).removeprefix("urn:vocoder:problem:")
        detail = str(document["detail"])
        wait, request_id = document.get("retry_after", retry_after), document.get("request_id")
    except NONSENSE:  # perhaps the answer of a proxy
        return Problem(status, "unknown", f"The server answered with status {status}.", None, _seconds(retry_after))
    fields = {member: value for member, value in document.items() if member not in COMMON}
    return Problem(status, name, detail, None if request_id is None else str(request_id), _seconds(wait), fields)


@contextmanager
def reading_answer() -> Iterator[None]:
    """Turn errors in reading an answer into a BadAnswerError; also a decorator."""
    try:
        yield
    except NONSENSE as error:
        raise BadAnswerError(f"this is not an answer of a vocoder server: {type(error).__name__}: {error}") from error


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):  # missing, or a date
        return None


@dataclass(frozen=True)
class Retries:
    """Repeat a request only if the server says when (Retry-After, with 503 and 429).

    It is repeated at most `most` times, and not if the server asks to wait for more than `longest` seconds.
    """

    most: int = 4
    longest: float = 30.0

    def __post_init__(self) -> None:
        if self.most < 0 or self.longest < 0.0:
            raise ValueError(f"most and longest must be 0 or more, not {self.most} and {self.longest}")

    def wait(self, error: VocoderError, done: int) -> float | None:
        """Return the seconds to wait after an error and `done` repetitions, or None to give up."""
        problem = error.problem
        if problem is None or problem.retry_after is None or done >= self.most:
            return None
        if not isinstance(error, (UnavailableError, RateLimitedError)) or problem.retry_after > self.longest:
            return None
        jitter = random.uniform(1.0, 1.25)  # keeps clients from returning all at once
        return min(self.longest, problem.retry_after * jitter)
