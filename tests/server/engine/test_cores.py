import httpx
import pytest
import torch

from server.engine import lanes
from server.engine.lanes import Team, available_cores


@pytest.mark.anyio
async def test_a_model_computes_on_all_cores_and_workers_on_one(start, fake, new_mel):
    seen = []
    speak = fake.synthesize

    def synthesize(*args, **options):
        seen.append(torch.get_num_threads())
        return speak(*args, **options)

    fake.synthesize = synthesize
    async with start(cores=3, device="cuda") as client:
        service = client._transport.app.state.service
        assert await service.run(torch.get_num_threads) == 1
        body = {"mel": new_mel().tolist()}
        seen.clear()  # of loading, which takes one core from a server that may be at work
        assert (await client.post("/v1/synthesize", json=body)).status_code == httpx.codes.OK
        assert await service.run(torch.get_num_threads) == 1
    assert set(seen) == {3}


ROOT = {"proc/self/cgroup": "0::/\n"}
V1 = "sys/fs/cgroup/cpu/cpu.cfs"
SHARES = [
    (8, {}),
    (3, ROOT | {"sys/fs/cgroup/cpu.max": "300000 100000\n"}),
    (8, ROOT | {"sys/fs/cgroup/cpu.max": "max 100000\n"}),
    (1, ROOT | {"sys/fs/cgroup/cpu.max": "50000 100000\n"}),
    (2, {"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/cpu.max": "250000 100000\n"}),
    (
        4,
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/docker/1\n2:memory:/m\n",
            f"{V1}_quota_us": "400000",
            f"{V1}_period_us": "100000",
        },
    ),
    (8, {"proc/self/cgroup": "1:cpu:/\n", f"{V1}_quota_us": "-1", f"{V1}_period_us": "100000"}),
]


def test_the_cores_are_those_of_the_containers_share(tmp_path, monkeypatch):
    monkeypatch.setattr(lanes.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for number, (expected, files) in enumerate(SHARES):
        root = tmp_path / str(number)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        assert available_cores(root) == expected, files


class Clock:
    """Stands in for `time`: the wall clock, and the processor time of the thread."""

    def __init__(self):
        self.wall = self.processor = 0.0

    def monotonic(self):
        return self.wall

    def thread_time(self):
        return self.processor

    def run(self, wall, processor):
        def work():
            self.wall += wall
            self.processor += processor

        return work


def test_a_team_without_its_cores_rests_and_is_tried_again(monkeypatch):
    clock, team = Clock(), Team(1)
    monkeypatch.setattr(lanes, "time", clock)
    probes = iter([clock.run(0.02, 0.01), clock.run(0.02, 0.02)])
    monkeypatch.setattr(Team, "_probe", lambda team: next(probes)())
    assert team.ready()
    team.watch(clock.run(0.02, 0.019))
    assert team.ready()
    team.watch(clock.run(0.12, 0.04))
    assert not team.ready()
    clock.wall += 1.1
    assert not team.ready()  # tried in vain
    clock.wall += 1.1
    assert not team.ready()  # rests for longer
    clock.wall += 1.1
    assert team.ready()
