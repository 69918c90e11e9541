"""Find what libsndfile misses: chained Ogg streams, and MPEG audio after other bytes."""

from __future__ import annotations

from typing import BinaryIO

OGG_MAGIC = b"OggS"
OGG_HEAD = 27  # bytes of a page before its segment table (RFC 3533, section 6)
FIRST_PAGE = 2  # the flag of a stream's first page

MOST_SKIPPED = 2**16  # bytes before the first frame of MPEG audio
FRAMES_IN_A_ROW = 3  # needed to tell real frames from bytes that look like one
LAYER_3 = 1
KILOBITS = {  # of layer III by the index in a frame's head (ISO/IEC 11172-3 and 13818-3)
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version
MPEG_1 = 3


def is_chained_ogg(file: BinaryIO) -> bool:
    """Return whether a file chains several Ogg streams; libsndfile reads only the first.

    Args:
        file: read from its start; its position is lost.
    """
    file.seek(0)
    data_seen = False
    while (head := file.read(OGG_HEAD))[:4] == OGG_MAGIC and len(head) == OGG_HEAD:
        first = bool(head[5] & FIRST_PAGE)
        if first and data_seen:
            return True
        data_seen = data_seen or not first
        file.seek(sum(file.read(head[26])), 1)
    return False


def mpeg_start(data: bytes) -> int | None:
    """Return the offset of the first MPEG frame (layer III), or None if there is none.

    Args:
        data: content of the file.
    """
    start = data.find(b"\xff")
    while 0 <= start < MOST_SKIPPED:
        if _begins_frames(data, start):
            return start
        start = data.find(b"\xff", start + 1)
    return None


def _begins_frames(data: bytes, place: int) -> bool:
    for _ in range(FRAMES_IN_A_ROW):
        size = _frame_size(data[place : place + 4])
        if not size:
            return False
        place += size
    return True


def _frame_size(head: bytes) -> int:
    """Return the size of the frame that starts with these 4 bytes, or 0 if none does."""
    bits = int.from_bytes(head, "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    bitrate, rate = bits >> 12 & 15, bits >> 10 & 3
    if len(head) < 4 or bits >> 21 != 0x7FF or version not in SAMPLE_RATES or layer != LAYER_3:
        return 0
    if bitrate in (0, 15) or rate == 3:
        return 0
    samples = 144 if version == MPEG_1 else 72
    return samples * 1000 * KILOBITS[version == MPEG_1][bitrate] // SAMPLE_RATES[version][rate] + (bits >> 9 & 1)
