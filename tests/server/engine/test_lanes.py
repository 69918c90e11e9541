"""Lanes, on how many cores each computes, and in whose turns."""

import sys
import threading
from contextlib import contextmanager

import httpx
import pytest
import torch
from answers import TIMEOUT
from fakes import count_threads, forkserver

from server.engine import lanes as lanes_module
from server.engine.jobs import Job, at_once
from server.engine.lanes import PROBE_SECONDS, Lanes, Team, available_cores
from server.engine.queue import WorkQueue
from server.engine.turns import CLIENT, Client


@contextmanager
def started(count, cores, items=64, seconds=30.0):
    queue = WorkQueue(Lanes(count, cores, "test"), items, seconds)
    queue.lanes.start()
    yield queue
    queue.lanes.stop(TIMEOUT)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]


class Held:
    """Work that can be held up, and notes on how many cores it ran."""

    def __init__(self):
        self.gate = threading.Event()
        self.begun = []
        self.cores = []

    def job(self, name=None, client=None, **options):
        def work():
            self.begun.append(name)
            self.cores.append(torch.get_num_threads())
            assert self.gate.wait(TIMEOUT)
            return name

        token = CLIENT.set(client or Client())
        job = Job(options.pop("frames", 1), parts=at_once(work), **options)
        CLIENT.reset(token)
        return job

    def ended(self, jobs):
        """Let the work go on, and return what the jobs do."""
        self.gate.set()
        return [job.result(TIMEOUT) for job in jobs]


def test_as_many_runs_at_once_as_cores_each_on_one(monkeypatch, wait_until):
    monkeypatch.setattr(lanes_module.Team, "ready", lambda team: False)  # they have no cores
    held = Held()
    with started(3, 3) as queue:
        jobs = [queue.submit(held.job(n)) for n in range(5)]
        wait_until(lambda: len(held.begun) == 3)
        assert len(queue) == 2
        assert held.ended(jobs) == list(range(5))
    assert held.cores == [1] * 5


def test_one_run_has_all_cores_until_there_are_more(monkeypatch, wait_until):
    monkeypatch.setattr(lanes_module.Team, "ready", lambda team: True)
    held = Held()
    with started(2, 2) as queue:
        first = queue.submit(held.job("first"))
        wait_until(lambda: held.begun == ["first"])
        others = [queue.submit(held.job(n)) for n in range(2)]  # wait for the cores that the first one has
        held.ended([first, *others])
        monkeypatch.setattr(lanes_module, "CROWD_SECONDS", 0.0)
        queue.submit(held.job("last")).result(TIMEOUT)
    assert held.cores == [2, 1, 1, 2]


def test_what_follows_a_result_at_once_is_no_crowd_and_the_start_of_a_stream_no_team(monkeypatch):
    monkeypatch.setattr(lanes_module.Team, "ready", lambda team: True)
    held = Held()
    held.gate.set()
    first, second, last = held.job(listened=True), held.job(), held.job()
    with started(2, 2) as queue:
        first.add_done_callback(lambda _: queue.submit(second))
        second.add_done_callback(lambda _: queue.submit(last))
        queue.submit(first)
        last.result(TIMEOUT)
    assert held.cores == [1, 2, 2]


def test_a_wait_counts_the_turns_of_others():
    lanes = Lanes(1, 1)
    long, short, idle = (WorkQueue(lanes, 64, 1e9) for _ in range(3))
    for queue, seconds in ((long, 60), (short, 3)):
        queue.submit(Held().job(frames=100 * seconds))  # at a hundredth of a second each, as is guessed
    assert lanes.expected_wait(long, long.backlog) == pytest.approx(60.0 + 3.0, abs=0.1)
    assert lanes.expected_wait(short, short.backlog) == pytest.approx(3.0 + (3.0 + 1.0), abs=0.1)
    assert lanes.expected_wait(idle, idle.backlog) == pytest.approx(1.0 + 1.0, abs=0.1)


@pytest.mark.parametrize(
    ("many", "one"),
    [(Client("a", "1"), Client("b", "1")), (Client("", "1"), Client("", "2")), (Client("a"), Client("b"))],
)
def test_clients_take_turns(many, one, wait_until):
    held = Held()
    with started(1, 1) as queue:
        jobs = [queue.submit(held.job(("many", n), many)) for n in range(6)]
        wait_until(lambda: len(held.begun) == 1)
        jobs += [queue.submit(held.job(("one", n), one)) for n in range(2)]
        held.ended(jobs)
    assert {("one", 0), ("one", 1)} <= set(held.begun[:5])


def test_addresses_of_a_key_share_its_turns_and_what_costs_more_counts_more(wait_until):
    held = Held()
    with started(1, 1) as queue:
        jobs = [queue.submit(held.job("first", Client("a", "1")))]
        wait_until(lambda: held.begun == ["first"])
        for _ in range(4):
            jobs += [queue.submit(held.job(who, Client(*who))) for who in (("a", "1"), ("a", "2"), ("b", "1"))]
        held.ended(jobs)
    assert held.begun[1:7].count(("b", "1")) >= 3
    held, cheap, dear = Held(), Client("", "1"), Client("", "2")
    with started(1, 1, seconds=1e9) as queue:
        jobs = [queue.submit(held.job("first"))]
        wait_until(lambda: len(held.begun) == 1)
        jobs += [queue.submit(held.job("dear", dear, frames=100, cost=10.0)) for _ in range(2)]
        alone = queue.wait(cheap)
        jobs += [queue.submit(held.job("cheap", cheap, frames=100)) for _ in range(2)]
        assert queue.wait(dear) > alone / 2 > queue.wait(cheap) / 4
        held.ended(jobs)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_only_one_thread_has_a_team():
    """A second team, of the thread that makes the application, would halve the speed of the first."""
    context = forkserver()
    answer = context.SimpleQueue()
    process = context.Process(target=count_threads, args=(answer,))
    process.start()
    computed, joined, cores = answer.get()
    process.join(TIMEOUT)
    assert (joined, cores) == (3 + computed - 1, 3)  # the lanes, and those that help the first if it has the cores


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
PERIOD = {f"{V1}_period_us": "100000"}
SHARES = [
    (8, {}),
    (3, ROOT | {"sys/fs/cgroup/cpu.max": "300000 100000\n"}),
    (8, ROOT | {"sys/fs/cgroup/cpu.max": "max 100000\n"}),
    (1, ROOT | {"sys/fs/cgroup/cpu.max": "50000 100000\n"}),
    (2, {"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/cpu.max": "250000 100000\n"}),
    (4, PERIOD | {"proc/self/cgroup": "3:cpu,cpuacct:/docker/1\n2:memory:/m\n", f"{V1}_quota_us": "400000"}),
    (8, PERIOD | {"proc/self/cgroup": "1:cpu:/\n", f"{V1}_quota_us": "-1"}),
]


def test_the_cores_are_those_of_the_containers_share(tmp_path, monkeypatch):
    monkeypatch.setattr(lanes_module.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
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


async def test_the_event_loop_leaves_the_cores_to_the_lanes(start):
    torch.set_num_threads(2)
    async with start():
        assert torch.get_num_threads() == 1


def test_a_team_without_its_cores_rests_and_is_tried_again(monkeypatch):
    clock, team = Clock(), Team(1)
    monkeypatch.setattr(lanes_module, "time", clock)
    probes = iter([clock.run(0.02, 0.01), clock.run(0.02, 0.02)])
    monkeypatch.setattr(Team, "_probe", lambda team: next(probes)())
    assert team.ready()
    team.watch(clock.run(0.02, 0.019))
    assert team.ready()
    team.watch(clock.run(0.12, 0.04))
    assert not team.ready()
    for ready in (False, False, True):  # tried in vain, then rests for longer
        clock.wall += 0.11
        assert team.ready() == ready


def test_cores_that_come_free_are_used_within_seconds_however_long_they_were_taken(monkeypatch):
    clock, team, share, probes = Clock(), Team(1), 0.5, []

    def probe(team):
        probes.append(clock.wall)
        clock.run(PROBE_SECONDS, share * PROBE_SECONDS)()

    monkeypatch.setattr(lanes_module, "time", clock)
    monkeypatch.setattr(Team, "_probe", probe)
    team.watch(clock.run(0.1, 0.05))
    while clock.wall < 100.0:
        assert not team.ready()
        clock.wall += 0.1
    assert len(probes) * PROBE_SECONDS < 0.005 * clock.wall  # what finding out costs
    share, freed = 1.0, clock.wall
    while not team.ready():
        clock.wall += 0.1
    assert clock.wall - freed < 5.0
