import dataclasses

import pytest
import torch
from tiny_objectives import LENGTH, MEL, PAST, RATE, VOCODERS, batch, model_loss, perturbed, reverse, waveglow

from training.data.augment import BlurConfig
from vocoder.checkpoint import load_model

every = pytest.mark.parametrize("name", VOCODERS)


@every
def test_phases_share_no_parameters_and_samples_counts_the_scored_ones(name):
    made = VOCODERS[name]()
    phases = {name: [id(parameter) for parameter in phase] for name, phase in made.phases().items()}
    assert list(phases) == ["model", "critic"][: 1 if made.adversary is None else 2]
    assert phases["model"] == [id(parameter) for parameter in made.model.parameters()]
    learned = [each for group in phases.values() for each in group]
    assert (len(learned), {id(p) for p in made.parameters() if p.requires_grad}) == (len(set(learned)), set(learned))
    made.train()
    assert made.model.training
    assert not any(module.training for module in made._frozen)
    assert VOCODERS[name]().samples(batch(3)) == 3 * (LENGTH - (PAST if name == "wavenet" else 0))


@every
def test_the_exported_model_equals_the_trained_one_and_includes_its_critics(name, tmp_path):
    made = perturbed(VOCODERS[name]())
    made.export(tmp_path, {"corpus": "tones"})
    checkpoint = load_model(tmp_path)
    assert (checkpoint.mel_config, checkpoint.provenance) == (MEL, {"corpus": "tones"})
    state = made.model.state_dict()
    assert checkpoint.model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in checkpoint.model.state_dict().items())
    assert (tmp_path / "critics.safetensors").is_file() == (made.adversary is not None)
    assert made.adversary is None or made.adversary.load(tmp_path)


SAMPLES, PAIRS = {"spectral": 1.0, "mel": 1.0, "adversarial": 0.1, "features": 0.5}, {"recorded": 1.0, "drawn": 0.5}
WEIGHTS = {
    "waveglow": {"pitch": 0.1, **SAMPLES},
    "reverse": {"pitch": 0.1, **PAIRS, **dict(zip([*SAMPLES, "periodicity"], (2.25, 3.0, 0.3, 1.0, 8.0), strict=True))},
}


@pytest.mark.parametrize(
    ("name", "step", "parts"),
    [
        *(("waveglow", step, ["nats"]) for step in (0, 9)),
        ("waveglow", 10, ["nats", "spectral", "mel"]),
        ("waveglow", 11, ["spectral", "mel"]),
        ("waveglow", 20, ["nats", *SAMPLES]),
        ("waveglow", 21, SAMPLES),
        ("reverse", 9, PAIRS),
        ("reverse", 10, [*PAIRS, "spectral", "mel", "periodicity"]),
        ("reverse", 20, [*PAIRS, *SAMPLES, "periodicity"]),
    ],
)
def test_losses_start_at_their_steps(name, step, parts):
    made = perturbed({"waveglow": waveglow, "reverse": reverse}[name]())
    loss, found = model_loss(made, step)
    assert found.keys() == {"pitch", *parts}
    assert not any(value.requires_grad for value in found.values())
    weights = WEIGHTS[name] | {"nats": 1.0 if step < 10 else 0.5 * 2}
    torch.testing.assert_close(loss.detach(), sum(weights[name] * value for name, value in found.items()))
    assert (made.loss("critic", batch(), step) is None) == (step < 20)


def batch_with_mels(change, has=True):
    """Return a batch with mels raised by `change`; `has` marks them as given."""
    own = waveglow().segments(batch())[1]
    return {**batch(), "mel": own + change, "has_mel": torch.tensor([has, has])}


def scores(made, data):
    torch.manual_seed(1)
    with torch.no_grad():
        return {name: float(value) for name, value in made.eval().validate(data).items()}


@every
def test_given_mels_are_used_where_marked(name):
    made = perturbed(VOCODERS[name]())
    plain = scores(made, batch())
    assert (scores(made, batch()), scores(made, batch_with_mels(0.0))) == (plain, pytest.approx(plain, rel=1e-5))
    assert scores(made, batch_with_mels(1.0, has=False)) == pytest.approx(plain, rel=1e-6)
    assert scores(made, batch_with_mels(1.0))["score"] != pytest.approx(plain["score"], rel=3e-5)


@pytest.mark.parametrize("build", [waveglow, reverse])
def test_losses_use_the_recording_and_given_mels_are_not_blurred(build):
    made = perturbed(build())

    def parts(data):
        torch.manual_seed(1)
        return made.loss("model", data, 100)[1]

    made.losses = dataclasses.replace(made.losses, blur=BlurConfig(share=0.0))
    unblurred = parts(batch_with_mels(0.0))
    made.losses = dataclasses.replace(made.losses, blur=BlurConfig(share=1.0))
    blurred, louder = parts(batch_with_mels(0.0)), parts(batch_with_mels(0.7))
    # A given mel that is too high by 0.7 makes samples that much louder than the recording.
    assert abs(float(louder["mel"] - blurred["mel"])) > 0.2
    torch.testing.assert_close(blurred["pitch"], unblurred["pitch"])
    assert float(parts(batch())["pitch"]) != float(blurred["pitch"])


BATCH = {"band": torch.tensor([2000.0, RATE / 2])}
EDGE, SLOPE = 2000 * 4096 // RATE + 1, 1600 * 4096 // RATE


def noise(seed):
    return torch.randn(2, 4096, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_bands_are_cut_at_the_edge_and_filled_above():
    x, other, made = noise(0), noise(1), waveglow()
    spectrum, seen = torch.fft.rfft(x), torch.fft.rfft(made.seen(x, BATCH))
    assert float(seen[0, EDGE:].abs().max()) < 1e-9
    torch.testing.assert_close(seen[0, :SLOPE], spectrum[0, :SLOPE])
    torch.testing.assert_close(seen[1], spectrum[1])
    full = made.filled(x, other, BATCH)
    torch.testing.assert_close(torch.fft.rfft(full)[0, EDGE:], torch.fft.rfft(other)[0, EDGE:])
    torch.testing.assert_close(full[1], x[1])
    torch.testing.assert_close(made.filled(x, x, BATCH), x)
    assert made.filled(x, other, {"x": x}) is x
