"""Worker threads compute on one core each, and leave the threads of the models as they are."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
import torch

from server.engine.device import compute_on


@pytest.fixture
def four_cores() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


def asked(function: Any) -> Any:
    """What a function returns on a thread of its own."""
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(function()))
    thread.start()
    thread.join()
    return told[0]


def test_a_thread_chooses_for_itself(four_cores: int) -> None:
    def chosen(cores: int) -> int:
        compute_on(cores)
        return torch.get_num_threads()

    assert [asked(lambda cores=cores: chosen(cores)) for cores in (1, 3)] == [1, 3]
    assert torch.get_num_threads() == four_cores


@pytest.mark.anyio
async def test_models_compute_on_all_cores_and_workers_on_one(start: Any, fake: Any, new_mel: Any) -> None:
    cores = torch.get_num_threads()
    seen: list[int] = []
    speak = fake.synthesize

    def synthesize(*args: Any, **options: Any) -> Any:
        seen.append(torch.get_num_threads())
        return speak(*args, **options)

    fake.synthesize = synthesize
    async with start() as client:
        service = client._transport.app.state.service
        assert await service.run(torch.get_num_threads) == 1
        body = {"mel": new_mel().tolist()}
        seen.clear()  # of loading, which takes one core from a server that may be at work
        assert (await client.post("/v1/synthesize", json=body)).status_code == httpx.codes.OK
        assert await service.run(torch.get_num_threads) == 1
    assert set(seen) == {cores}
