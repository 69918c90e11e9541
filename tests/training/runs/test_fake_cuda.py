import pytest
import torch
from fake_gpu import CUDA, use_fake_gpu
from tiny_objectives import ON_GPUS
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

STEP = 1000  # every loss is active at this step


@pytest.fixture(autouse=True)
def zero_values(monkeypatch):
    """Let all tensors convert to 0: critics see the first part, and every band ends early."""
    for name, value in (("__int__", 0), ("__float__", 0.0), ("__bool__", False)):
        monkeypatch.setattr(Tensor, name, lambda _, value=value: value)


def batch(mel):
    x = torch.empty(2, mel.n_fft + 80 * mel.hop_length, device=CUDA)
    f0 = torch.full((2, 80), 300.0, device=CUDA)
    return {"x": x, "f0": f0, "band": torch.full((2,), mel.sample_rate / 4, device=CUDA)}


@pytest.mark.parametrize("name", ON_GPUS)
def test_losses_of_every_phase_stay_on_the_device(name, monkeypatch):
    made = ON_GPUS[name]()
    with FakeTensorMode(allow_non_fake_inputs=True):
        use_fake_gpu(monkeypatch)
        objective = made.to(CUDA).train()
        for phase in objective.phases():
            loss, parts = objective.loss(phase, batch(objective.mel_config), STEP)
            assert {value.device for value in (loss, *parts.values())} == {CUDA}
