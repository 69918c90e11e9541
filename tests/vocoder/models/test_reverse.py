import pytest
import torch
from tiny_models import tiny_reverse, tiny_spectral, tiny_waveglow

from training.start.inheritance import inherit_ends
from vocoder.layers.conditioning import normalised
from vocoder.stages import MEL, NOISE, Z, run

pytestmark = pytest.mark.usefixtures("float64")

FRAMES = 30


def noise_and_mel(model, batch=1):
    return torch.randn(model.noise_shape(batch, FRAMES)), torch.randn(batch, 5, FRAMES)


@pytest.mark.parametrize("made", [tiny_reverse, tiny_spectral])
def test_its_audio_depends_on_its_noise_by_its_hidden_frames_alone(made):
    model = made()
    (noise, mel), last = noise_and_mel(model, 2), f"block {model.config.blocks}"
    with torch.no_grad():
        whole = run(model.stages(), {MEL: mel, NOISE: noise})
        assert whole.signals[last].shape == (2, 8, FRAMES)
        assert torch.equal(whole.signals[model.target], mel) == (made is tiny_reverse)  # a head makes another
        if made is tiny_reverse:  # a head also filters the noise
            again = run(model.stages(), {MEL: mel, last: whole.signals[last]}).signal
            torch.testing.assert_close(again, whole.signal)


def test_its_noise_has_the_prior_of_the_waveglow_whose_ends_it_inherits():
    teacher = tiny_waveglow("lapped", group_size=8)
    student = tiny_reverse(source=teacher.config.source)
    inherit_ends(student, teacher)
    student.pitch.load_state_dict(teacher.pitch.state_dict())
    noise, mel = noise_and_mel(student)
    z = run(student.stages(), {MEL: mel, NOISE: noise}, Z).signal
    torch.testing.assert_close(z, teacher.prior(noise, mel))
    with torch.no_grad():
        coefficients = torch.randn(1, 8, FRAMES)
        spectrum, _ = teacher.envelope.inverse(coefficients, teacher.envelope_condition(mel))
        x = teacher.transform.inverse(spectrum)[0][:, 0]
        spectrum, _ = student.envelope.inverse(coefficients, normalised(mel))
        torch.testing.assert_close(student.transform.inverse(spectrum)[0][:, 0], x)
