import numpy as np
from numba import njit

from vocoder.kernels.functions import exp2, log2
from vocoder.kernels.intrinsics import like, wide


@njit
def _each(x, out, which):
    for i in range(x.shape[0]):
        out[i] = exp2(x[i]) if which == 0 else log2(x[i])


def test_powers_and_logarithms_are_those_of_numpy_to_rounding():
    x, out = np.linspace(-59, 59, 10001, dtype=np.float32), np.empty(10001, np.float32)
    _each(x, out, 0)
    np.testing.assert_allclose(out, np.exp2(x.astype(np.float64)), rtol=3e-7)
    powers = np.exp2(np.linspace(-60, 60, 10001)).astype(np.float32)
    _each(powers, out, 1)
    np.testing.assert_allclose(out, np.log2(powers.astype(np.float64)), rtol=3e-7, atol=3e-7)


@njit
def _stored(x, kept, back):
    for i in range(x.shape[0]):
        kept[i] = like(x[i], kept[i])
        back[i] = wide(kept[i])


def test_bfloat16_is_the_upper_half_of_a_rounded_float32():
    x = np.array([1.0, -2.5, 1 + 2**-8 + 2**-16, 3e38, np.nan, 0.0], np.float32)
    kept, back = np.zeros(6, np.uint16), np.empty(6, np.float32)
    _stored(x, kept, back)
    np.testing.assert_allclose(back[[0, 1, 3, 5]], x[[0, 1, 3, 5]], rtol=2**-8)
    assert back[2] == 1 + 2**-7
    assert np.isnan(back[4])
