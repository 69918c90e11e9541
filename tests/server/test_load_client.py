import asyncio

import pytest

from benchmarks.serving_load import Answer, Case, Load, closed_loop, offer


def test_what_is_counted():
    answered = [Answer(due=float(n), latency=0.5, status=200, error=n * 1e-7, seconds=2.0) for n in range(10)]
    others = [Answer(1.0, 0.1, 503, retry_after=True), Answer(1.0, 0.1, 503), Answer(2.0, 9.0, 0)]
    load = Load([*answered, *others], seconds=8.0)
    assert (len(load.answered), len(load.refused), dict(load.lost)) == (10, 1, {503: 1, 0: 1})
    assert load.largest_error == pytest.approx(9e-7)
    assert load.latency(99) == pytest.approx(0.5)
    assert load.audio_per_second == pytest.approx(2.0)  # those that were done within the 8 s


def test_a_real_server_under_load(ready, fake, new_mel):
    cases = []
    for seed in range(5):
        mel = new_mel(frames=5 + seed)
        cases.append(Case(mel, seed, fake.synthesize(mel, seed=seed)))
    wrong = Case(cases[0].mel, 1, cases[0].x)
    with ready() as url:
        load = asyncio.run(offer(url, [*cases, wrong], [0.01 * n for n in range(12)], 1.0))
        assert len(load.answered) == 12
        assert [answer.error > 1e-5 for answer in load.answers] == [False] * 5 + [True] + [False] * 5 + [True]
        for interface in ("http", "plain"):
            load = asyncio.run(closed_loop(url, cases, 3, 0.2, interface))
            assert len(load.answered) == len(load.answers) >= 3
    gone = asyncio.run(offer(url, cases, [0.0, 0.01], 1.0))
    assert dict(gone.lost) == {0: 2}
