import hashlib
import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.limits.keys import KeyFileError, KeyRing, Owner, TokenBucket, read_owners

KEY = "correct-horse-battery"


def digest(key):
    return hashlib.sha256(key.encode()).digest()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys"


def test_key_files_define_owners_roles_and_quotas(file):
    bob = f"bob:sha256:{digest('another-key-of-bob').hex()} frames_per_minute=100 roles=speak,metrics"
    scraper = f"prometheus:{KEY}/x+y=~ roles=metrics requests_per_minute=0"
    file.write_text(f"# who may synthesize\n\nalice:{KEY}\n{bob}\nalice:a-second-key-of-alice\n{scraper}")
    assert read_owners(file, requests_per_minute=7, frames_per_minute=9) == {
        **dict.fromkeys((digest(KEY), digest("a-second-key-of-alice")), Owner("alice", frozenset({"speak"}), 7, 9)),
        digest("another-key-of-bob"): Owner("bob", frozenset({"speak", "metrics"}), 7, 100),
        digest(f"{KEY}/x+y=~"): Owner("prometheus", frozenset({"metrics"}), 0, 9),
    }
    file.write_text(f"\ufeffalice:{KEY}\nalice:a-second-key-of-alice\nbob:a-third-key-of-bobs")
    ring = KeyRing(file, 0, 0)
    names = [owner and owner[0].name for owner in map(ring.find, (KEY, "a-second-key-of-alice", "a-third-key-of-bobs"))]
    assert names == ["alice", "alice", "bob"]
    assert not any(map(ring.find, ("", KEY[:-1], KEY + "x", KEY.upper(), "ключ", digest(KEY).hex())))


INVALID = {
    "has no key": ("", "# nothing\n"),
    "line 1: write NAME:KEY": (
        f"bad name:{KEY}",
        *f"{KEY} n/ame:{KEY} alice:short alice:{'x' * 257}".split(),
        *(f"alice:sha256:{wrong}" for wrong in ("F" * 64, "f" * 63)),
        *(f"alice:{KEY} {wrong}" for wrong in ("frames_per_minute=-1", "frames_per_minute=many", "x=y", "roles=admin")),
    ),
    "line 2: a name has one set": (f"alice:{KEY}\nalice:{KEY}2 roles=metrics", f"alice:{KEY}\nbob:{KEY}"),
}


def test_invalid_lines_are_reported_without_the_key(file):
    for message, texts in INVALID.items():
        for text in texts:
            file.write_text(text)
            with pytest.raises(KeyFileError, match=message) as caught:
                read_owners(file)
            assert [key for key in (KEY, "short") if key in str(caught.value)] == []


UNREADABLE = {
    "cannot read the API key file": lambda file: None,
    "is not UTF-8": lambda file: file.write_bytes(b"\xff\xfe"),
    "it is not a regular file": os.mkfifo,
    "it has more than 1048576 bytes": lambda file: file.write_bytes(bytes(2**20 + 1)),
}


@pytest.mark.parametrize("message", UNREADABLE)
def test_unreadable_key_files_are_rejected(file, message):
    UNREADABLE[message](file)
    with pytest.raises(KeyFileError, match=message):
        KeyRing(file, 0, 0)


def test_a_file_is_not_reloaded_while_it_is_being_written(file):
    file.write_text(f"alice:{KEY}\nbob:another-key-of-bob\n")
    ring = KeyRing(file, 0, 0)
    with file.open("w") as writing:
        for text in (f"alice:{KEY}\n", "bob:another-key", "-of-bob\n", "carol:a-third-key-of-carol\n"):
            writing.write(text)
            writing.flush()
            assert not ring.refresh()
            assert ring.find("another-key-of-bob") is not None
            assert ring.find("a-third-key-of-carol") is None
    assert ring.refresh()
    assert ring.find("a-third-key-of-carol") is not None


def reloaded(ring):
    """Return whether new keys are loaded from a file that no longer changes, at the second look."""
    return not ring.refresh() and ring.refresh()


def test_a_file_is_reloaded_whatever_its_date_says(file, wait_until):
    def write(key):
        file.write_text(f"alice:{key}")
        os.utime(file, ns=(0, 0))  # as cp -p does; new permissions change no date either

    write(KEY)
    ring = KeyRing(file, 0, 0)
    wait_until(lambda: write(KEY[::-1]) or reloaded(ring))
    assert ring.find(KEY) is None


def replace_file(file, text):
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)  # noqa: PTH105


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_an_invalid_or_missing_file_keeps_the_old_keys(file, text, caplog):
    file.write_text(f"alice:{KEY}")
    ring = KeyRing(file, 0, 0)
    replace_file(file, text) if text else file.unlink()
    assert not reloaded(ring)
    assert ring.find(KEY) is not None
    assert "cannot reload the API keys" in caplog.text
    replace_file(file, "bob:another-key-of-bob")
    assert reloaded(ring)


def test_a_new_key_does_not_reset_the_quota(file):
    file.write_text(f"alice:{KEY} requests_per_minute=2\nbob:another-key-of-bob requests_per_minute=2")
    ring = KeyRing(file, 0, 0)
    for key in (KEY, "another-key-of-bob"):
        assert ring.find(key)[1].requests.take(2) == 0.0
    replace_file(file, "alice:a-new-key-of-alice requests_per_minute=2\nbob:another-key-of-bob requests_per_minute=3")
    assert reloaded(ring)
    alice, bob = ring.find("a-new-key-of-alice"), ring.find("another-key-of-bob")
    assert alice[1].requests.take(1) > 0.0
    assert bob[1].requests.take(1) == 0.0  # his limit changed


def test_a_cost_larger_than_the_bucket_is_granted_and_paid_off_later():
    clock = SimpleNamespace(now=100.0)
    bucket = TokenBucket(60, lambda: clock.now)
    assert bucket.take(180) == 0.0
    assert bucket.take(0) == pytest.approx(120.0)
    clock.now += 120.0
    assert bucket.take(0) == 0.0
    assert bucket.take(180) == pytest.approx(60.0)
    clock.now += 60.0
    assert bucket.take(180) == bucket.take(-30) == 0.0  # also in debt, what was not used is given back
    assert bucket.take(0) == pytest.approx(90.0)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    per_minute=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 20_000)), max_size=30),
)
def test_the_rate_is_never_exceeded_and_every_wait_is_sufficient(per_minute, steps):
    clock = SimpleNamespace(now=100.0)
    bucket, granted, largest = TokenBucket(per_minute, lambda: clock.now), 0.0, 0
    for pause, cost in steps:
        clock.now += pause
        wait = bucket.take(cost)
        if wait > 0.0:
            clock.now += wait
            assert bucket.take(cost) == 0.0
        granted, largest = granted + cost, max(largest, cost)
        elapsed = clock.now - 100.0
        assert granted <= (per_minute + elapsed * per_minute / 60.0 + largest) * (1 + 1e-6) + 1e-6
