"""Choosing a response format by `format=` or by Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from server.audio.encoding import FORMATS, Format
from server.errors import RequestError

__all__ = ["negotiate"]


def negotiate(name: str | None, accept: str | None, offers: Sequence[Format] = FORMATS) -> tuple[Format, str]:
    """Return the format to answer in, and its media type.

    Args:
        name: the value of `format=`, which goes before Accept.
        accept: the Accept header; None or empty takes anything.
        offers: the formats to choose from, in order of preference.

    Raises:
        RequestError: nothing on offer fits.
    """
    if name is not None:
        for offer in offers:
            if offer.name == name:
                return offer, offer.media_types[0]
        raise _not_acceptable(offers)
    ranges = _parse(accept or "*/*")
    best: tuple[float, Format, str] | None = None
    for offer in offers:
        for media_type in offer.media_types:
            quality = _quality(media_type, ranges)
            if quality > (best[0] if best else 0.0):
                best = (quality, offer, media_type)
    if best is None:
        raise _not_acceptable(offers)
    return best[1], best[2]


def _parse(accept: str) -> dict[str, float]:
    """Return the quality of each media range; a range that cannot be read is left out."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        try:
            quality = float(weights[0]) if weights else 1.0
        except ValueError:
            continue
        if media_range.count("/") == 1 and 0.0 <= quality <= 1.0:
            ranges[media_range] = quality
    return ranges


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """Return the quality of the most specific range that covers a media type; 0 where none does."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0


def _not_acceptable(offers: Sequence[Format]) -> RequestError:
    names = [offer.name for offer in offers]
    media_types = list(dict.fromkeys(offer.media_types[0] for offer in offers))
    subject = "This server answers" if offers is FORMATS else "A stream comes"
    detail = f"{subject} in format={'|'.join(names)}, or Accept: {', '.join(media_types)}."
    return RequestError("not-acceptable", detail, formats=names, media_types=media_types)
