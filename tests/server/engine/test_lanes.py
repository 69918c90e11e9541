"""Lanes, the number of cores each one uses, and the turns of clients."""

import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import torch
from fakes import count_threads, forkserver
from http_helpers import TIMEOUT

from server.engine import jobs as jobs_module
from server.engine import lanes as lanes_module
from server.engine.jobs import CLIENT, Job, Shares, at_once
from server.engine.lanes import ELSEWHERE, PROBE_SECONDS, Lanes, Team, available_cores
from server.engine.queue import Pace, WorkQueue


@contextmanager
def started(count, cores, items=64, seconds=30.0):
    queue = WorkQueue(Lanes(count, cores, "test"), items, seconds)
    queue.lanes.start()
    yield queue
    queue.lanes.stop(TIMEOUT)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]


class Work:
    """Work that can be blocked; it records how many cores it ran on."""

    def __init__(self):
        self.gate = threading.Event()
        self.begun = []
        self.cores = []

    def job(self, name=None, client=None, **options):
        def run():
            self.begun.append(name)
            self.cores.append(torch.get_num_threads())
            assert self.gate.wait(TIMEOUT)
            return name

        token = CLIENT.set(client or ("", ""))
        job = Job(options.pop("frames", 1), parts=at_once(run), **options)
        CLIENT.reset(token)
        return job

    def finish(self, jobs):
        """Unblock the work and return the results of the jobs."""
        self.gate.set()
        return [job.result(TIMEOUT) for job in jobs]


def test_as_many_jobs_run_at_once_as_there_are_cores(monkeypatch, wait_until):
    monkeypatch.setattr(lanes_module.Team, "ready", lambda team: False)  # teams have no cores
    work = Work()
    with started(3, 3) as queue:
        jobs = [queue.submit(work.job(n)) for n in range(5)]
        wait_until(lambda: len(work.begun) == 3)
        assert len(queue) == 2
        assert work.finish(jobs) == list(range(5))
    assert work.cores == [1] * 5


def test_a_single_job_uses_all_cores(monkeypatch, wait_until):
    monkeypatch.setattr(lanes_module.Team, "ready", lambda team: True)
    work = Work()
    with started(2, 2) as queue:
        first = queue.submit(work.job("first"))
        wait_until(lambda: work.begun == ["first"])
        others = [queue.submit(work.job(n)) for n in range(2)]  # they wait for the cores of the first one
        work.finish([first, *others])
        monkeypatch.setattr(lanes_module, "CROWD_SECONDS", 0.0)
        queue.submit(work.job("last")).result(TIMEOUT)
    assert work.cores == [2, 1, 1, 2]


def test_consecutive_jobs_use_all_cores_but_the_start_of_a_stream_uses_one(monkeypatch):
    monkeypatch.setattr(lanes_module.Team, "ready", lambda team: True)
    work = Work()
    work.gate.set()
    first, second, last = work.job(listened=True), work.job(), work.job()
    with started(2, 2) as queue:
        first.add_done_callback(lambda _: queue.submit(second))
        second.add_done_callback(lambda _: queue.submit(last))
        queue.submit(first)
        last.result(TIMEOUT)
    assert work.cores == [1, 2, 2]


def test_chunks_give_way_to_the_start_of_others_until_their_audio_is_needed(wait_until):
    work = Work()
    with started(1, 1, seconds=0.1) as queue:
        jobs = [queue.submit(work.job("running"))]
        wait_until(lambda: work.begun == ["running"])
        for name, due in (("whole", {}), ("chunk", {"due": 0.05}), ("start", {"listened": True})):
            jobs.append(queue.submit(work.job(name, **due)))
        time.sleep(0.2)
        jobs.append(queue.submit(work.job("later start", listened=True)))
        work.finish(jobs)
    assert work.begun == ["running", "start", "chunk", "whole", "later start"]


def test_a_lane_begins_no_refused_job(wait_until):
    work = Work()
    with started(1, 1) as queue:
        running, first, second = [queue.submit(work.job(n)) for n in range(3)]
        wait_until(lambda: work.begun == [0])
        first.add_done_callback(lambda _: work.finish([running]))  # frees the lane while jobs are being refused
        queue.refuse_all(OSError("closed"))
        assert str(second.exception(TIMEOUT)) == "closed"
    assert work.begun == [0]


def test_a_run_that_waited_for_a_stuck_process_hardly_changes_the_pace():
    pace = Pace()
    pace.add(100, 1.0)
    pace.add(100, 60.0)
    assert 40.0 < pace.frames_per_second < 60.0


def test_the_expected_wait_includes_the_turns_of_others():
    lanes = Lanes(1, 1)
    long, short, idle = (WorkQueue(lanes, 64, 1e9) for _ in range(3))
    for queue, seconds in ((long, 60), (short, 3)):
        queue.submit(Work().job(frames=100 * seconds))  # the initial estimate is 0.01 s per frame
    assert lanes.expected_wait(long, long.backlog) == pytest.approx(60.0 + 3.0, abs=0.1)
    assert lanes.expected_wait(short, short.backlog) == pytest.approx(3.0 + (3.0 + 1.0), abs=0.1)
    assert lanes.expected_wait(idle, idle.backlog) == pytest.approx(1.0 + 1.0, abs=0.1)


@pytest.mark.parametrize(("many", "one"), [(("a", "1"), ("b", "1")), (("1", "1"), ("2", "2")), (("a", ""), ("b", ""))])
def test_clients_take_turns(many, one, wait_until):
    work = Work()
    with started(1, 1) as queue:
        jobs = [queue.submit(work.job(("many", n), many)) for n in range(6)]
        wait_until(lambda: len(work.begun) == 1)
        jobs += [queue.submit(work.job(("one", n), one)) for n in range(2)]
        work.finish(jobs)
    assert {("one", 0), ("one", 1)} <= set(work.begun[:5])


def test_addresses_of_a_key_share_its_turns_and_expensive_jobs_count_more(wait_until):
    work = Work()
    with started(1, 1) as queue:
        jobs = [queue.submit(work.job("first", ("a", "1")))]
        wait_until(lambda: work.begun == ["first"])
        for _ in range(4):
            jobs += [queue.submit(work.job(who, who)) for who in (("a", "1"), ("a", "2"), ("b", "1"))]
        work.finish(jobs)
    assert work.begun[1:7].count(("b", "1")) >= 3
    work, cheap, expensive = Work(), ("1", "1"), ("2", "2")
    with started(1, 1, seconds=1e9) as queue:
        jobs = [queue.submit(work.job("first"))]
        wait_until(lambda: len(work.begun) == 1)
        jobs += [queue.submit(work.job("expensive", expensive, frames=100, cost=10.0)) for _ in range(2)]
        alone = queue.wait(cheap)
        jobs += [queue.submit(work.job("cheap", cheap, frames=100)) for _ in range(2)]
        assert queue.wait(expensive) > alone / 2 > queue.wait(cheap) / 4
        work.finish(jobs)


def test_clients_that_came_once_are_forgotten_but_not_one_that_used_much(monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_KNOWN", 32)
    shares = Shares()
    for n, seconds in enumerate((50.0, *[0.1] * 200)):
        shares.arrive(("queue", str(n), "address"))
        shares.begin(("queue", str(n), "address"), seconds)
        assert len(shares._used) + len(shares._reached) < 100
    assert [shares.used(("queue", name, "address"))[1] for name in ("0", "1", "new")] == [50.0, 0.0, 0.0]


def test_others_do_not_start_behind_all_jobs_of_a_run_that_is_faster_than_expected(monkeypatch):
    lanes = Lanes(1, 1)
    monkeypatch.setattr(lanes, "dispatch", lambda: None)
    one, other = (WorkQueue(lanes, 64, 1e9, lambda jobs: [None for _ in jobs], lambda: 2**20) for _ in range(2))
    run = [one.submit(Job(100)) for _ in range(8)]
    assert one.begin() == run  # for eight seconds, as expected
    one.submit(Job(100))
    token = CLIENT.set(("new", ""))
    newcomer, _ = one.submit(Job(100)), other.submit(Job(100))
    CLIENT.reset(token)
    one.run(run, 1)
    assert lanes.shares.used((id(other),)) < lanes.shares.used((id(one),))
    assert one.begin()[0] is newcomer


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_only_one_thread_has_an_openmp_team():
    """A second team, in the thread that creates the application, would halve the speed of the first."""
    context = forkserver()
    answer = context.SimpleQueue()
    process = context.Process(target=count_threads, args=(answer,))
    process.start()
    computed, joined, cores = answer.get()
    process.join(TIMEOUT)
    assert (joined, cores) == (3 + computed - 1, 3)  # three lanes, and the team of the first if it has the cores


async def test_a_model_uses_all_cores_and_workers_and_the_event_loop_use_one(start, fake, new_mel):
    torch.set_num_threads(2)
    seen, original = [], fake.synthesize
    fake.synthesize = lambda *args, **options: seen.append(torch.get_num_threads()) or original(*args, **options)
    async with start(cores=3, device="cuda") as client:
        assert torch.get_num_threads() == 1
        service = client._transport.app.state.service
        assert await service.run(torch.get_num_threads) == 1
        body = {"mel": new_mel().tolist()}
        seen.clear()  # loading uses one core, to leave the others to a busy server
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


def test_the_number_of_cores_respects_container_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(lanes_module.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for number, (expected, files) in enumerate(SHARES):
        root = tmp_path / str(number)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        assert available_cores(root) == expected, files


class Clock:
    """Replaces `time`: the wall clock and the processor time of the thread."""

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


def test_a_team_without_free_cores_pauses_and_is_tried_again(monkeypatch):
    clock, team = Clock(), Team(1)
    monkeypatch.setattr(lanes_module, "time", clock)
    probes = iter([clock.run(0.02, 0.01), clock.run(0.02, 0.02)])
    monkeypatch.setattr(Team, "_probe", lambda team: next(probes)())
    assert team.ready()
    team.watch(clock.run(0.02, 0.019))
    team.watch(lambda: (clock.run(0.02, 0.001)(), ELSEWHERE.set(ELSEWHERE.get() + 0.018)))  # in another process
    assert team.ready()
    team.watch(clock.run(0.12, 0.04))
    assert not team.ready()
    for ready in (False, False, True):  # a failed attempt, then a longer pause
        clock.wall += 0.11
        assert team.ready() == ready


def test_cores_are_used_within_seconds_after_they_become_free(monkeypatch):
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
    assert len(probes) * PROBE_SECONDS < 0.005 * clock.wall  # the cost of probing
    share, freed = 1.0, clock.wall
    while not team.ready():
        clock.wall += 0.1
    assert clock.wall - freed < 5.0
