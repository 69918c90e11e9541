"""Errors as RFC 9457 problem details; nothing a client sent is ever repeated in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.errors import RequestError

__all__ = [
    "MEDIA_TYPE",
    "Problem",
    "answer_busy",
    "answer_not_found",
    "busy",
    "describe_problem",
    "install_problem_handlers",
    "invalid_parameters",
    "problem_of",
    "render",
]

MEDIA_TYPE = "application/problem+json"
NOTHING_HERE = "There is nothing at this address."
INFERENCE_PREFIX = "/v2"  # where the Open Inference Protocol, version 2, prescribes errors of its own shape


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A request that cannot be answered, and why.

    Args:
        status: the HTTP status code.
        slug: the machine-readable kind, the last part of the problem's `type`.
        detail: one or two sentences for a person: what is wrong and what would be right.
        headers: further response headers, such as Retry-After.
        **fields: further members of the problem document (RFC 9457, section 3.2).
    """

    def __init__(
        self, status: int, slug: str, detail: str, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = fields

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """Return the problem as a client gets it."""
        return {
            "type": f"urn:vocoder:problem:{self.slug}",
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.fields,
        }


STATUS = {
    "malformed-body": 400,
    "unknown-model": 404,
    "not-acceptable": 406,
    "too-many-frames": 413,
    "audio-too-long": 413,
    "unsupported-media-type": 415,
    "unsupported-dtype": 415,
    "invalid-parameter": 422,
    "unsupported-sample-rate": 422,
    "unknown-preset": 422,
    "mel-mismatch": 422,
    "invalid-mel": 422,
    "unlikely-mel": 422,
    "unsure-preset": 422,
    "invalid-audio": 422,
    "synthesis-failed": 500,
    "warming": 503,
    "queue-full": 503,
    "model-failed": 503,
    "stopping": 503,
    "deadline-exceeded": 504,
    "out-of-memory": 507,
}
"""the HTTP status of each kind of RequestError"""


def problem_of(error: RequestError) -> Problem:
    """Return what is wrong with a request as HTTP says it."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    headers |= {"Connection": "close"} if error.kind == "stopping" else {}
    return Problem(STATUS[error.kind], error.kind, error.detail, headers, **error.fields)


class ProblemResponse(JSONResponse):
    """A JSON response with the problem media type."""

    media_type = MEDIA_TYPE


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem document, those of the framework included."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


def describe_problem(connection: HTTPConnection, problem: Problem) -> dict[str, Any]:
    """Return the document that tells a client about `problem`, and note the problem for log and metrics."""
    connection.state.problem = problem.slug
    return problem.document(getattr(connection.state, "request_id", None))


async def answer_not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or WebSocket to an address where there is nothing."""
    problem = Problem(404, "not-found", NOTHING_HERE)
    await render(HTTPConnection(scope), problem)(scope, receive, send)


async def answer_busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that is one too many."""
    await render(HTTPConnection(scope), busy())(scope, receive, send)


def busy() -> Problem:
    """Return the problem of a request or connection that is one too many."""
    headers = {"Retry-After": "1", "Connection": "close"}
    return Problem(503, "busy", "There are as many connections as there may be; try again soon.", headers)


def render(request: HTTPConnection, problem: Problem) -> Response:
    """Return the response that tells a client about `problem`."""
    document = describe_problem(request, problem)
    request_id = document["request_id"]
    headers = dict(problem.headers)
    if request_id is not None:
        headers["X-Request-Id"] = request_id
    path = request.url.path
    if path == INFERENCE_PREFIX or path.startswith(f"{INFERENCE_PREFIX}/"):
        return JSONResponse({"error": problem.detail}, status_code=problem.status, headers=headers)
    return ProblemResponse(document, status_code=problem.status, headers=headers)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return render(request, error)


async def _on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return render(request, problem_of(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    # Only the declared location and pydantic's own message are passed on: its `input` and `ctx` hold what the
    # client sent, which may not even be JSON (NaN).
    assert isinstance(error, RequestValidationError)
    return render(request, invalid_parameters(error.errors(), _parameters(request)))


def invalid_parameters(entries: Sequence[Mapping[str, Any]], known: Iterable[str]) -> Problem:
    """Return the problem of what pydantic found.

    Args:
        entries: whose location begins with where the parameters stood.
        known: the parameters that there are.
    """
    errors = [_describe(entry, known) for entry in entries]
    detail = "; ".join(f"{entry['parameter']}: {entry['message']}" for entry in errors)
    return Problem(422, "invalid-parameter", detail, errors=errors)


def _parameters(request: Request) -> list[str]:
    """Return the names of the query parameters of the route that a request came to."""
    route = request.scope.get("route")
    fields = route.dependant.query_params if isinstance(route, APIRoute) else []
    models: list[Any] = [field.field_info.annotation for field in fields]
    return [name for model in models for name in getattr(model, "model_fields", ())]


def _describe(entry: Mapping[str, Any], known: Iterable[str]) -> dict[str, str]:
    if entry["type"] == "extra_forbidden":
        names = f"; there are {', '.join(known)}" if known else ""
        return {"parameter": "(unknown)", "message": f"there is a parameter that is not known here{names}"}
    location = ".".join(str(part) for part in entry["loc"][1:]) or str(entry["loc"][0])
    return {"parameter": location, "message": entry["msg"]}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    details = {404: NOTHING_HERE, 405: "This address does not take this method."}
    slug = phrase.lower().replace(" ", "-")
    detail = details.get(error.status_code, f"{phrase}.")
    return render(request, Problem(error.status_code, slug, detail, headers=error.headers))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    # Nobody reads this answer; it keeps a client that left from being logged as a fault of the server.
    return render(request, Problem(400, "client-disconnected", "The connection ended before the body did."))


async def _on_unexpected(request: Request, error: Exception) -> Response:
    return render(request, Problem(500, "internal-error", "The server failed; the request id finds it in the log."))
