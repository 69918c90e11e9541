import dataclasses

import pytest
import torch
from tiny_objectives import MARGIN, REVERSE, batch, model_loss, perturbed, reverse, waveglow, zero_gradients

from training.loop.trainer_config import TrainerConfig
from training.runs import recordings
from training.runs.reverse import ReverseRun, pairs_of
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.conditioning import normalised
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.mel.config import preset
from vocoder.models.reverse import Reverse


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_losses_and_critics_get_corrected_samples_in_a_share_of_the_steps(share, monkeypatch):
    made = reverse(corrected_share=share, recorded=0.0, drawn=0.0)
    compared, judged, corrected = [], [], []
    compare, judge, correct = recordings.stft_loss, made.adversary.judge, made.correction.plain
    monkeypatch.setattr(recordings, "stft_loss", lambda x_hat, x: compared.append(x_hat) or compare(x_hat, x))
    monkeypatch.setattr(made.adversary, "judge", lambda x_hat, x: judged.append(x_hat) or judge(x_hat, x))
    monkeypatch.setattr(made.correction, "plain", lambda *given: corrected.append(len(compared)) or correct(*given))
    torch.manual_seed(0)
    for step in range(20, 40):
        model_loss(made, step)
    assert all(a is b for a, b in zip(compared, judged, strict=True))
    assert abs(len(corrected) - 20 * share) <= 20 * share * (1 - share)


def test_only_the_student_gets_gradients():
    made = perturbed(reverse())
    model_loss(made, 10)[0].backward()
    assert zero_gradients(made.model) == []
    assert all(parameter.grad is None for parameter in made.teacher.parameters())


def test_pairs_of_noise_and_audio_are_exact():
    teacher = perturbed(waveglow()).model.double()
    x = batch()["x"][:, MARGIN:-MARGIN].double()
    mel = torch.randn(2, 8, x.shape[1] // 16, dtype=torch.float64)
    pairs = pairs_of(teacher, x, mel)
    torch.testing.assert_close(pairs[0], teacher(x, mel)[0])
    torch.testing.assert_close(teacher.inverse(pairs[0], mel)[0], x)
    spectrum, _ = teacher.envelope.inverse(pairs[1], normalised(mel))
    torch.testing.assert_close(teacher.transform.inverse(spectrum)[0][:, 0], x)


def test_a_student_for_other_mels_than_the_teachers_learns_from_samples_only(tmp_path):
    config = dataclasses.replace(REVERSE, n_mels=80, hop_length=256, sample_rate=22050, corrections=0)
    start = str(save_model(tmp_path, Reverse(config), preset("espnet")))
    losses = reverse().losses
    alone = dataclasses.replace(losses, recorded=0.0, drawn=0.0)
    run = ReverseRun("o", TrainerConfig(1, 1), "m", "espnet", config, losses=alone, start_from=start)
    assert run.origins() == {"start_from": start}
    assert run.objective().teacher is None
    paired = dataclasses.replace(run, losses=losses)
    assert set(paired.origins()) == {"start_from", "teacher"}
    with pytest.raises(ConfigError, match="teacher must be a WaveGlow that takes mels of preset 'espnet'"):
        paired.objective()


def test_what_is_above_the_mel_is_trained_alone_only_where_there_is_such_a_band():
    config = dataclasses.replace(REVERSE, n_mels=80, hop_length=256, sample_rate=22050)
    headed = dataclasses.replace(config, head=SpectrumHeadConfig(preset("nvidia")))
    full = dataclasses.replace(REVERSE, n_mels=100, hop_length=256, sample_rate=24000)
    wide = dataclasses.replace(full, head=SpectrumHeadConfig(preset("vocos")))
    cases = (("nvidia", config, 0.0), ("nvidia", headed, 0.01), ("vocos", wide, 0.0))
    for (mel, model, decay), text in zip(cases, ("with a head", "a trainer", "nothing is above the mel"), strict=True):
        trainer = TrainerConfig(1, 1, weight_decay=decay)
        with pytest.raises(ConfigError, match=text):
            ReverseRun("o", trainer, "m", mel, model, start_from="reverse", only_above_mel=True)
