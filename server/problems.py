"""Errors as RFC 9457 problem details. They repeat no client data except plain names of unknown parameters."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
INFERENCE = "/v2"  # The Open Inference Protocol prescribes the shape of errors below this address.
MOST_ERRORS = 16  # per answer: looking up similar names for thousands of parameters takes half a second
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Names of unknown parameters that match this are repeated to the client and compared with the known ones."""
KINDS = {
    400: "client-disconnected malformed-body malformed-handshake malformed-request",
    401: "unauthorized",
    403: "forbidden forbidden-host forbidden-origin",
    404: "not-found unknown-model",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "body-timeout header-timeout",
    413: "audio-too-long body-too-large too-many-frames",
    415: "unsupported-content-encoding unsupported-dtype unsupported-media-type",
    422: "invalid-audio invalid-mel invalid-parameter mel-mismatch unknown-preset unloadable-model unlikely-mel "
    "unsupported-sample-rate unsure-preset",
    426: "upgrade-required",
    429: "rate-limited",
    431: "headers-too-large",
    500: "internal-error synthesis-failed",
    503: "busy model-failed not-alive not-ready queue-full stopping unloaded warming",
    504: "deadline-exceeded",
    507: "out-of-memory",
}
STATUS = {kind: status for status, kinds in KINDS.items() for kind in kinds.split()}
"""HTTP status of each kind of problem"""
CLOSING = frozenset({"body-timeout", "busy", "stopping"})
"""kinds of problem that close the connection"""


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """Why a request cannot be served.

    Args:
        kind: a key of `STATUS`; the last part of the document's `type`.
        detail: what is wrong and what would be right, in one or two sentences.
        status: the HTTP status, if it differs from the one in `STATUS`.
        retry_after: seconds after which a retry may succeed.
        headers: additional response headers.
        **fields: extension members of the document (RFC 9457, section 3.2).
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status = STATUS[kind] if status is None else status
        self.retry_after = retry_after
        self.fields = fields
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        if kind in CLOSING:
            self.headers["Connection"] = "close"

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """Return the problem document."""
        return {
            "type": f"urn:vocoder:problem:{self.kind}",
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.fields,
        }


def malformed_body(detail: str) -> Problem:
    """Return the problem for a body or message that does not match its type."""
    return Problem("malformed-body", detail)


def invalid_parameter(name: str, message: str) -> Problem:
    """Return the problem for one parameter."""
    name = name if PLAIN_NAME.fullmatch(name) else "(unknown)"
    errors = [{"parameter": name, "message": message}]
    return Problem("invalid-parameter", f"{name}: {message}.", errors=errors)


def invalid_parameters(error: ValidationError, place: str, known: Iterable[str]) -> Problem:
    """Return the problem for pydantic's errors in a place, such as the query, that takes the `known` parameters."""
    entries = error.errors(include_url=False, include_context=False, include_input=False)  # no client data
    errors = [described(entry, place, known) for entry in entries[:MOST_ERRORS]]
    messages = [f"{entry['parameter']}: {entry['message']}" for entry in errors]
    detail = "; ".join([*messages, *([f"{more} more"] if (more := len(entries) - len(errors)) else [])])
    return Problem("invalid-parameter", detail, errors=errors)


def described(entry: Mapping[str, Any], place: str, known: Iterable[str]) -> dict[str, str]:
    """Return the parameter that one of pydantic's errors is about, and what is wrong with it."""
    if entry["type"] == "extra_forbidden":
        names = f"; the parameters are {', '.join(known)}" if known else ""
        given = PLAIN_NAME.fullmatch(str(entry["loc"][-1]))
        similar = get_close_matches(given[0], known, n=1) if given else []
        hint = f" (did you mean {similar[0]}?)" if similar else ""
        return {"parameter": given[0] if given else "(unknown)", "message": f"there is no such parameter{hint}{names}"}
    return {"parameter": ".".join(map(str, entry["loc"])) or place, "message": entry["msg"]}


def sentence(error: Exception) -> str:
    """Return an error's message as a sentence, with a capital and a full stop."""
    text = str(error)
    start = text[0] if text.startswith("preset=") else text[0].upper()
    return f"{start}{text[1:]}" + ("" if text.endswith(".") else ".")


def describe_problem(connection: HTTPConnection, problem: Problem) -> dict[str, Any]:
    """Return the problem document for the client, and record the problem for the log and metrics."""
    connection.state.problem = problem.kind
    return problem.document(getattr(connection.state, "request_id", None))


def render(request: HTTPConnection, problem: Problem) -> Response:
    """Return the response for a problem."""
    document, headers = describe_problem(request, problem), dict(problem.headers)
    if document["request_id"] is not None:
        headers["X-Request-Id"] = document["request_id"]
    if f"{request.url.path}/".startswith(f"{INFERENCE}/"):
        return JSONResponse({"error": problem.detail}, status_code=problem.status, headers=headers)
    return JSONResponse(document, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


async def answer_not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or WebSocket at an unknown address with 404."""
    await render(HTTPConnection(scope), _not_found())(scope, receive, send)


def install_problem_handlers(app: FastAPI) -> None:
    """Turn every error of the application, including the framework's own, into a problem document."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            error = _of_http(request, error)
        elif isinstance(error, ClientDisconnect):  # nobody reads this; otherwise it would be logged as a server error
            error = Problem("client-disconnected", "The connection ended before the body did.")
        return render(request, error if isinstance(error, Problem) else unexpected())

    for kind in (Problem, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer)


def unexpected() -> Problem:
    """Return the problem for an error in the server itself."""
    return Problem("internal-error", "The server failed. Its log has the details under the request id.")


def _not_found() -> Problem:
    return Problem("not-found", "There is nothing at this address.")


def _of_http(request: Request, error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _not_found()
    phrase = HTTPStatus(error.status_code).phrase
    detail, headers = f"{phrase}.", dict(error.headers or {})
    if methods := headers.get("Allow"):
        detail = f"This address takes {methods}, not {request.method}."
        headers["Allow"] = methods.replace("GET", "GET, HEAD")
    kind = phrase.lower().replace(" ", "-")
    return Problem(kind, detail, status=error.status_code, headers=headers)
