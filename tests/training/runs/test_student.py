import dataclasses

import pytest
import torch
from tiny_objectives import LENGTH, MARGIN, MEL, SOURCE, STUDENT
from torch import nn
from torch.nn import functional as F

from training.runs.student import StudentLosses, StudentObjective
from vocoder.distributions import ENTROPY, Gaussian
from vocoder.models.student import Student

SAMPLES = dataclasses.replace(STUDENT, kind="samples")
LOSSES = StudentLosses(kl_warmup_steps=10, spectral=0.0, mel=0.0, bfloat16=False)


class ToyTeacher(nn.Module):
    """Each sample is half the previous one plus noise with the mean level of the mel frame."""

    def __init__(self):
        super().__init__()
        self.distribution = Gaussian()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def conditionals(self, x, mel):
        """Return mean and log-scale (B, 2, T)."""
        log_s = 0.5 * mel.mean(dim=1).repeat_interleave(x.shape[1] // mel.shape[2], dim=1) - 1.0
        return torch.stack([self.gain * F.pad(x[:, :-1], (1, 0)), log_s], dim=1)


def batch(items=3):
    """Return noise that gets louder from item to item."""
    generator = torch.Generator().manual_seed(0)
    level = 10.0 ** (-1 - torch.arange(items)[:, None].flip(0) / 2)
    x = level * torch.randn(items, LENGTH + 2 * MARGIN, generator=generator)
    return {"x": x, "f0": torch.zeros(items, LENGTH // MEL.hop_length)}


def objective(config=STUDENT, teacher=None, **losses):
    torch.manual_seed(0)
    made = StudentObjective(Student(config), MEL, dataclasses.replace(LOSSES, **losses), teacher or ToyTeacher())
    with torch.no_grad():
        made.initialise([batch()])
    return made


def loss(made, step=100, phase="model"):
    torch.manual_seed(5)
    return made.loss(phase, batch(), step)


@pytest.mark.parametrize("estimator", ["closed", "draws", "sample"])
def test_the_divergence_is_cross_entropy_minus_entropy_and_has_a_warmup(estimator):
    made = objective(SAMPLES, estimator=estimator)
    total, parts = loss(made)
    assert set(parts) - {"regulariser"} == {"kl", "entropy", "cross_entropy", "sigma_tot"}
    torch.testing.assert_close(parts["kl"], parts["cross_entropy"] - parts["entropy"], rtol=0, atol=1e-4)
    torch.testing.assert_close(total.detach(), parts["kl"])
    assert float(parts["sigma_tot"].log() + ENTROPY) == pytest.approx(float(parts["entropy"]))
    torch.testing.assert_close(loss(made, step=4)[0].detach(), 0.5 * parts["kl"])


@pytest.mark.parametrize(("name", "weight"), [("power", 0.5), ("spectral", 2.0), ("mel", 3.0)])
def test_each_loss_has_its_weight(name, weight):
    total, parts = loss(objective(kl=0.0, **{name: weight}))
    assert "kl" not in parts
    assert float(parts[name]) > 0
    torch.testing.assert_close(total.detach(), weight * parts[name])
    torch.testing.assert_close(loss(objective(kl=0.0))[0].detach(), torch.tensor(0.0))


def test_the_teacher_can_score_only_the_first_segments():
    """Training scores some for speed; validation scores all."""
    made = {items: objective(SAMPLES, estimator="closed", teacher_items=items) for items in (None, 1, 2, 3)}
    kl = {items: loss(each)[1]["kl"] for items, each in made.items()}
    torch.testing.assert_close(kl[3], kl[None])
    assert abs(float(kl[1] - kl[2])) > 1e-4
    torch.manual_seed(5)
    torch.testing.assert_close(made[1].validate(batch())["kl"], kl[None])


def test_a_student_with_a_source_learns_its_pitch_and_keeps_a_finite_entropy():
    """Without noise in `z` its density would be infinite; the entropy stays finite even for tiny gains."""
    made = objective(dataclasses.replace(STUDENT, source=SOURCE))
    loss(made)[0].backward()
    assert float(made.model.pitch.output.weight.grad.abs().max()) > 0
    with torch.no_grad():
        made.model.excitation.gains.bias.fill_(-200.0)
    assert all(torch.isfinite(loss(made)[1][name]) for name in ("entropy", "kl"))
