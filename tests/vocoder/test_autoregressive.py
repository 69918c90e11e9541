import pytest
import torch
from tiny_models import tiny_wavenet

from vocoder import autoregressive
from vocoder.autoregressive import CompiledGenerator, StepwiseGenerator, generator, loop_weights
from vocoder.stages import MEL, Span, Z, run

FRAMES = 3
KINDS = {
    "gaussian": {},
    "logistic": {"distribution": "logistic", "components": 1},
    "mixture": {"distribution": "logistic", "components": 4, "log_s_floor": None},
}
compiled_or_not = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "stepwise"])


def random_inputs(model, frames=FRAMES):
    return -6 + torch.randn(2, model.config.n_mels, frames), torch.randn(2, model.config.hop_length * frames)


def generated(model, mel, z, compiled=True):
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(autoregressive, "kernel", lambda *names: None)
        made = run(model.stages(), {MEL: mel, Z: z[:, None]})
    return made.signal[:, 0], made.changes[-1]


@pytest.mark.parametrize(
    ("compiled", "kind", "lpc", "kernel_size"),
    [(compiled, "gaussian", size != 1, size) for compiled in (True, False) for size in (1, 2, 3)]
    + [(False, kind, False, 2) for kind in KINDS],
)
def test_generation_inverts_the_parallel_pass(compiled, kind, lpc, kernel_size):
    model = tiny_wavenet(lpc, kernel_size, **KINDS[kind])
    mel, z = random_inputs(model, 1 if lpc and not compiled else FRAMES)
    x, stretch = generated(model, mel, z, compiled)
    again, log_det = model.distribution.forward(model.conditionals(x, mel), x)
    # rounding a sample to float32 changes the noise a lot where the density is narrow
    torch.testing.assert_close(again, z, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(stretch, -log_det, rtol=1e-3, atol=2e-3)


@compiled_or_not
def test_utterances_of_a_batch_are_independent(compiled):
    model = tiny_wavenet(lpc=compiled)
    mel, z = random_inputs(model)
    torch.set_default_dtype(torch.float64)  # which must not matter
    together, _ = generated(model, mel, z, compiled)
    for i in range(2):
        alone, _ = generated(model, mel[i : i + 1], z[i : i + 1], compiled)
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)


def test_weights_that_fit_are_stored_in_half_precision_without_a_difference():
    model = tiny_wavenet()
    mel, z = random_inputs(model, 1)
    for parameter in model.parameters():
        parameter.copy_(parameter.half().float())
    if loop_weights(model.stack)[2].dtype != torch.float16:
        pytest.skip("this processor does not widen half precision itself")
    ours, plain = (generated(model, mel, z, compiled)[0] for compiled in (True, False))
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)
    model.stack.in_layers[0].weight[0, 0, 0, 0] = 1e-9  # too small for half precision
    assert loop_weights(model.stack)[2].dtype == torch.float32
    assert loop_weights(model.stack, rounded=True)[2].dtype == torch.float16


@pytest.mark.parametrize(
    ("kind", "dtype", "expected"),
    [
        ("gaussian", torch.float32, CompiledGenerator),
        ("gaussian", torch.float64, StepwiseGenerator),
        ("mixture", torch.float32, StepwiseGenerator),
    ],
)
def test_the_fastest_generator_is_chosen(kind, dtype, expected):
    model = tiny_wavenet(**KINDS[kind])
    mel, _ = random_inputs(model)
    plan = model.plan(Span(0, 0, FRAMES, FRAMES), model.condition(mel), mel)
    assert isinstance(generator(model.stack, model.distribution, model.limit, plan, dtype), expected)
