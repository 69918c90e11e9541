import asyncio

from benchmarks.serving_load import Case, closed_loop, offer


def test_the_load_client_measures_a_real_server(ready, fake, new_mel):
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
    assert dict(asyncio.run(offer(url, cases, [0.0, 0.01], 1.0)).lost) == {0: 2}
