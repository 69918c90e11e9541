from vocoder.timing import alternate


def test_tasks_take_turns_and_warm_ups_are_not_timed():
    calls = []
    clock = [0.0]
    durations = {"a": iter([100.0, 1.0, 5.0, 2.0]), "b": iter([200.0, 3.0, 3.0, 9.0])}

    def task(name):
        calls.append(name)
        clock[0] += next(durations[name])

    tasks = {name: lambda name=name: task(name) for name in "ab"}
    medians = alternate(tasks, repetitions=3, clock=lambda: clock[0])
    assert calls == ["a", "b"] * 4
    assert medians == {"a": 2.0, "b": 3.0}
