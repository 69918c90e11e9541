from __future__ import annotations

import copy

import torch

from vocoder.layers.kept import Kept


def test_things_are_made_once_until_a_parameter_or_a_setting_changes():
    kept, parameter = Kept(), torch.zeros(2)
    made = [kept.of((parameter,), lambda: parameter + 1) for _ in range(2)]
    assert made[0] is made[1]
    parameter.add_(1.0)
    changed = kept.of((parameter,), lambda: parameter + 1)
    assert changed.tolist() == [2.0, 2.0]
    assert kept.of((parameter,), lambda: parameter + 3, "another") is not changed


def test_copies_make_them_anew():
    kept, parameter = Kept(), torch.zeros(2)
    made = kept.of((parameter,), lambda: parameter + 1)
    assert copy.deepcopy(kept).of((parameter,), lambda: parameter + 1) is not made


def test_parameters_of_inference_mode_are_kept_too():
    with torch.inference_mode():
        kept, parameter = Kept(), torch.zeros(2)
        made = [kept.of((parameter,), lambda: parameter + 1) for _ in range(2)]
    assert made[0] is made[1]
