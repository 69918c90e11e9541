"""Which precision is chosen, by the features of the processor."""

from __future__ import annotations

import pytest
import torch

from vocoder.layers.stack.precision import default_dtype


@pytest.mark.parametrize(("has", "chosen"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_is_chosen_where_the_processor_multiplies_it(monkeypatch, has, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    assert {default_dtype(device) for device in ("cpu", torch.device("cpu"))} == {chosen}


def test_a_device_of_another_kind_gets_float32():
    assert default_dtype("meta") == torch.float32
