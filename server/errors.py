"""What can be wrong with a request, in the service's own terms; `server.problems` says the same in those of HTTP."""

from __future__ import annotations

from typing import Any

__all__ = ["RequestError"]


class RequestError(Exception):
    """A request that cannot be served, and why.

    Args:
        kind: the name of what is wrong, one of `server.problems.STATUS`.
        detail: one or two sentences for a person: what is wrong and what would be right.
        retry_after: seconds after which it may go better.
        **fields: further members of the document that tells the client.
    """

    def __init__(self, kind: str, detail: str, retry_after: int | None = None, **fields: Any) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        self.fields = fields
