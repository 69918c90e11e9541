import asyncio

import pytest
from starlette.requests import HTTPConnection

from server.limits import gate
from server.limits.gate import Holding, Pool, client_of, give_back_freed, hold_bytes
from server.problems import Problem

ALICE, BOB = ("alice", "10.0.0.1"), ("bob", "10.0.0.1")


def test_one_client_cannot_use_the_last_quarter():
    pool = Pool(100)
    first, second = Holding(pool, ALICE), Holding(pool, ("alice", "10.0.0.2"))
    assert first.set(60)
    assert [second.set(16), second.set(15)] == [False, True]  # the same key
    other = Holding(pool, BOB)
    assert ([other.set(26), other.set(25)], pool.used) == ([False, True], 100)
    first.set(0)
    assert [other.set(75), other.set(76)] == [True, False]
    for holding in (second, other):
        holding.set(0)
    assert (pool.used, pool.most) == (0, 100)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),  # as sockets and proxies write it that listen to both versions
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_clients_are_identified_by_key_and_address(host, address):
    connection = HTTPConnection({"type": "http", "client": host and (host, 1), "headers": []})
    assert client_of(connection, "") == (address, address)
    assert client_of(connection, "alice") == ("alice", address)


def test_memory_is_returned_once_after_a_large_release(monkeypatch):
    returned = []
    monkeypatch.setattr(gate, "GIVE_BACK_SECONDS", 0.005)
    monkeypatch.setattr(gate, "give_back_memory", lambda: returned.append(pool.used))
    pool = Pool(2**30)

    async def use():
        watch = asyncio.create_task(give_back_freed(pool))
        for size in (2**20, 2**28, 2**20):  # little, much, and released
            holding.set(size)
            await asyncio.sleep(0.05)
        watch.cancel()

    holding = Holding(pool, ALICE)
    asyncio.run(use())
    assert returned == [2**20]


def test_a_request_that_can_never_fit_is_told_so():
    connection = HTTPConnection({"type": "http", "state": {}, "headers": []})
    connection.state.memory = Holding(pool := Pool(100), ALICE)
    hold_bytes(connection, 75)
    with pytest.raises(Problem, match="a client may hold 75: send the mel in parts") as caught:
        hold_bytes(connection, 76)
    assert caught.value.kind == "body-too-large"
    connection.state.memory = Holding(pool, ALICE)
    with pytest.raises(Problem, match="try again soon"):
        hold_bytes(connection, 1)
