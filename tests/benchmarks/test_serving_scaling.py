import pytest

from benchmarks.serving_scaling import Times, simulated


@pytest.mark.parametrize("cores", [1, 3])
def test_without_other_costs_all_cores_are_used(cores):
    times = Times(prepare=0.0, run=0.1, held=0.0, encode=0.0, audio=3.0)
    assert simulated(times, cores, 3 * cores) == pytest.approx(30.0 * cores, rel=0.02)


def test_the_interpreter_is_a_bound():
    times = Times(prepare=0.0, run=0.1, held=0.02, encode=0.0, audio=3.0)
    assert simulated(times, 16, 32) == pytest.approx(3.0 / 0.02, rel=0.03)
    assert simulated(times, 1, 2) == pytest.approx(30.0, rel=0.02)
