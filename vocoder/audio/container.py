"""Find what libsndfile misses: several Ogg streams in one file, of which it reads the first."""

from __future__ import annotations

from typing import BinaryIO

OGG_MAGIC = b"OggS"
OGG_HEAD = 27  # bytes of a page before its segment table (RFC 3533, section 6)
FIRST_PAGE = 2  # the flag of a stream's first page


def is_chained_ogg(file: BinaryIO) -> bool:
    """Return whether a file, read from its start, chains several Ogg streams; its position is lost."""
    file.seek(0)
    data_seen = False
    while (head := file.read(OGG_HEAD))[:4] == OGG_MAGIC and len(head) == OGG_HEAD:
        first = bool(head[5] & FIRST_PAGE)
        if first and data_seen:
            return True
        data_seen = data_seen or not first
        file.seek(sum(file.read(head[26])), 1)
    return False
