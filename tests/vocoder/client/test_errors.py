"""Problem documents become exceptions, and some of them say when to ask again."""

import json
from typing import Any

import pytest

from vocoder.client import (
    AuthenticationError,
    InvalidRequestError,
    NoAnswerError,
    RateLimitedError,
    Retries,
    ServerError,
    UnavailableError,
    UnknownModelError,
)
from vocoder.client.errors import Problem, error_of, read_problem


def document(**members: Any) -> bytes:
    given = {"type": "urn:vocoder:problem:queue-full", "title": "Queue full", "detail": "Later.", "request_id": "r1"}
    return json.dumps({**given, **members}).encode()


def test_each_status_has_its_class():
    kinds = dict.fromkeys((400, 413, 422), InvalidRequestError) | dict.fromkeys((401, 403), AuthenticationError)
    kinds |= {404: UnknownModelError, 429: RateLimitedError, 500: ServerError, 507: ServerError}
    for status, kind in (kinds | dict.fromkeys((503, 504), UnavailableError)).items():
        error = error_of(Problem(status, "a-name", "Words."))
        assert type(error) is kind
        assert str(error) == f"{status} a-name: Words."


def test_a_document_is_read_whole():
    problem = read_problem(503, document(limit_frames=9), "7")
    assert problem == Problem(503, "queue-full", "Later.", "r1", 7.0, {"limit_frames": 9})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b"{}", b"\xff"])
def test_what_is_no_document_still_has_a_status(body):
    assert read_problem(502, body, "Wed, 21 Oct 2015 07:28:00 GMT") == Problem(
        502, "unknown", "The server answered with status 502."
    )


def refusal(status: int, retry_after: float | None) -> Any:
    return error_of(Problem(status, "a-name", "Words.", retry_after=retry_after))


def test_the_server_says_when_to_ask_again():
    retries = Retries(most=2, longest=30.0)
    for status in (503, 429):
        waits = [retries.wait(refusal(status, 4.0), done) for done in (0, 1, 2)]
        assert all(4.0 <= wait <= 5.0 for wait in waits[:2])
        assert waits[2] is None
    for error in (refusal(503, None), refusal(503, 31.0), refusal(422, 1.0), NoAnswerError("gone")):
        assert retries.wait(error, 0) is None
