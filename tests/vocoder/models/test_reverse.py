import pytest
import torch
from tiny_models import tiny_reverse, tiny_waveglow

from training.start.inheritance import inherit_ends
from vocoder.layers.conditioning import normalised
from vocoder.stages import MEL, NOISE, Z, run

pytestmark = pytest.mark.usefixtures("float64")

FRAMES = 30


def test_its_noise_has_the_prior_of_the_waveglow_whose_ends_it_inherits():
    teacher = tiny_waveglow("lapped", group_size=8)
    student = tiny_reverse(source=teacher.config.source)
    inherit_ends(student, teacher)
    student.pitch.load_state_dict(teacher.pitch.state_dict())
    noise, mel = torch.randn(student.noise_shape(1, FRAMES)), torch.randn(1, 5, FRAMES)
    z = run(student.stages(), {MEL: mel, NOISE: noise}, Z).signal
    torch.testing.assert_close(z, teacher.prior(noise, mel))
    with torch.no_grad():
        coefficients = torch.randn(1, 8, FRAMES)
        spectrum, _ = teacher.envelope.inverse(coefficients, teacher.envelope_condition(mel))
        x = teacher.transform.inverse(spectrum)[0][:, 0]
        spectrum, _ = student.envelope.inverse(coefficients, normalised(mel))
        torch.testing.assert_close(student.transform.inverse(spectrum)[0][:, 0], x)
