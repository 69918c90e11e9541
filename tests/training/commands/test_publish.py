import json
from dataclasses import replace

import pytest
import torch
from tiny_models import TINY_MEL, tiny_waveglow

from training.cli import main
from training.provenance import origin_of
from training.publishing import licence_of, mean_of, model_card
from vocoder.checkpoint import load_model, save_model

MODEL = tiny_waveglow("lapped")
QUALITY = {
    "settings": {"seed": 0},
    "voices": {"anna": {"seen": False, "utterances": 3, "pesq": 3.25, "stoi": None, "times_real_time": 70.04}},
    "baselines": {"Griffin-Lim": {"anna": {"seen": False, "utterances": 3, "pesq": 2.5, "stoi": 0.9}}},
    "definitions": {"pesq": "wide band"},
}
PROVENANCE = {
    "data": [{"corpus": "c", "hours": 1.5, "licence": "CC-BY-SA-3.0", "attribution": "by Anna"}],
    "software": {"torch": "2.11"},
    "machine": {"device": "CPU", "threads": 2},
    "training": {"step": 10, "audio_seconds": 7200.0, "minutes": 5.0},
}


@pytest.fixture
def trained(tmp_path):
    return save_model(tmp_path / "run", tiny_waveglow("lapped"), TINY_MEL, PROVENANCE)


def test_publishing_rounds_the_trained_weights_and_adds_their_scores(trained, tmp_path, capsys, cli_error):
    quality = QUALITY | {"weights_sha256": load_model(trained).weights_sha256}
    (tmp_path / "quality.json").write_text(json.dumps({"run": quality}))
    command = ["publish", str(trained), "-o", str(tmp_path / "anna"), "--quality", str(tmp_path / "quality.json")]
    assert main(command) == 0
    published, original = load_model(tmp_path / "anna"), load_model(trained)
    assert (published.quality, published.provenance) == (quality, PROVENANCE)
    for name, value in original.model.state_dict().items():
        torch.testing.assert_close(published.model.state_dict()[name], value.half().float(), rtol=0, atol=0)
    printed, warnings = capsys.readouterr()
    assert f"{(tmp_path / 'anna' / 'model.safetensors').stat().st_size / 1e6:.1f} MB in float16" in printed
    assert "licence of the weights: CC-BY-SA-3.0, because it is share-alike" in printed
    assert warnings == ""
    assert "anna already exists: choose another -o, or use --force" in cli_error(main, *command)
    (tmp_path / "quality.json").write_text(json.dumps({"run": quality | {"weights_sha256": "0"}}))
    assert "has the scores of other weights than" in cli_error(main, *command, "--force")
    assert main(["publish", command[3], "-o", str(tmp_path / "five"), "--corrections", "5"]) == 0
    assert "at most 100, not 101" in cli_error(main, *command[:3], tmp_path / "more", "--corrections", "101")
    assert (five := load_model(tmp_path / "five")).model.config == replace(original.model.config, corrections=5)
    assert five.quality == {}  # the scores were those of another number


def test_the_card_lists_scores_baselines_data_and_licence():
    card = model_card("anna", MODEL, TINY_MEL, PROVENANCE, QUALITY, "## Limits\n\nNone.")
    assert "| anna (unseen) | anna | 3 | 3.25 | - | 70.0 |" in card
    assert "| anna (unseen) | Griffin-Lim | 3 | 2.50 | 0.900 | - |" in card
    assert "| c | 1.50 | CC-BY-SA-3.0 | by Anna |" in card
    assert "license: cc-by-sa-3.0" in card
    assert "10 steps, 2.0 hours of audio seen, 5 minutes on CPU with 2 threads" in card
    assert card.endswith("## Limits\n\nNone.\n")
    assert 'vocoder.load("path/to/anna")' in card
    assert 'vocoder.load("waveglow")' in model_card("waveglow", MODEL, TINY_MEL, PROVENANCE)
    data = [*PROVENANCE["data"], {"corpus": "k", "hours": 0.5, "licence": "Apache-2.0", "synthetic": True}]
    card = model_card("anna", MODEL, TINY_MEL, PROVENANCE | {"data": data})
    assert "0.50 of 2.00 hours (25 %) are synthetic speech" in card
    assert "| k (synthetic) | 0.50 | Apache-2.0 |" in card


def test_the_card_keeps_inherited_licences_and_lists_each_corpus_once():
    provenance = {**PROVENANCE, "data": [{"corpus": "mine", "hours": 0.2, "licence": "CC0-1.0"}]}
    card = model_card("mine", MODEL, TINY_MEL, provenance | origin_of(start_from="waveglow"))
    assert "license: cc-by-sa-3.0" in card
    assert "\nThe weights are under CC-BY-SA-3.0, because some recordings are share-alike." in card
    assert "| mine | 0.20 | CC0-1.0 |  | this training |" in card
    assert "recorded by Allison Smith (theivrvoice.com) for Digium, Inc. | start from waveglow |" in card
    data = {"corpus": "c", "hours": 1.5, "licence": "CC-BY-SA-3.0", "attribution": "by Anna"}
    ways = ("teacher t", "teacher t, start_from older", "start_from a, start_from b, teacher t", "flows_from w")
    started = ("start_from a", "start_from a, start_from b")
    inherited = [data | {"through": way} for way in (*ways, *started)]
    card = model_card("s", MODEL, TINY_MEL, PROVENANCE | {"inherited": inherited})
    origins = "this training; teacher t; flows from w; start from a"
    assert f"| c | 1.50 | CC-BY-SA-3.0 | by Anna | {origins} |" in card
    assert "Used by: the training that used the recordings" in card


@pytest.mark.parametrize(
    ("licence", "message", "header"),
    [
        ("unknown", "The licence of mine is unknown: do not share", "unknown"),
        ("GPL-2.0-only", "allow sharing these weights: it would have to suit CC-BY-SA-3.0 (c) and GPL-2.0", "other"),
    ],
)
def test_licences_that_forbid_sharing_give_a_warning(tmp_path, capsys, licence, message, header):
    data = [*PROVENANCE["data"], {"corpus": "mine", "hours": 1.0, "licence": licence}]
    run = save_model(tmp_path / "run", MODEL, TINY_MEL, PROVENANCE | {"data": data})
    assert main(["publish", str(run), "-o", str(tmp_path / "anna")]) == 0
    assert message in capsys.readouterr().err.partition("WARNING: ")[2]
    card = (tmp_path / "anna" / "README.md").read_text()
    assert message in card.partition(f"---\nlicense: {header}\n")[2].partition("\n**")[2]


def test_scores_of_several_evaluations_and_models_can_be_used(trained, tmp_path, cli_error, capsys):
    other = {**QUALITY, "voices": {"anna": {"utterances": 9, "pesq": 1.0}}}
    (tmp_path / "q.json").write_text(json.dumps({"waveglow": other, f"{trained}/": QUALITY}))
    command = ["publish", str(trained), "--quality", str(tmp_path / "q.json")]
    assert main([*command, "-o", str(tmp_path / "anna")]) == 0
    assert load_model(tmp_path / "anna").quality == QUALITY
    assert "WARNING: cannot verify that the scores in" in capsys.readouterr().err
    assert main([*command, "-o", str(tmp_path / "berta"), "--scores-of", "waveglow"]) == 0
    assert load_model(tmp_path / "berta").quality == other
    (tmp_path / "q.json").write_text(json.dumps({"waveglow": other, "student": QUALITY}))
    assert "set --scores-of to one of waveglow, student" in cli_error(main, *command, "-o", tmp_path / "none")
    other_voice = {**QUALITY, "voices": {"other": next(iter(QUALITY["voices"].values()))}, "baselines": {}}
    for name, block in (("first", QUALITY), ("second", other_voice)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"run": block}))
    first, second = str(tmp_path / "first.json"), str(tmp_path / "second.json")
    assert main(["publish", str(trained), "-o", str(tmp_path / "both"), "--quality", first, "--quality", second]) == 0
    assert set(load_model(tmp_path / "both").quality["voices"]) == {*QUALITY["voices"], "other"}
    assert "other" in (tmp_path / "both" / "README.md").read_text(encoding="utf-8")
    assert main(["publish", str(trained), "-o", str(tmp_path / "twice"), "--quality", first, "--quality", first]) == 2


def test_the_licence_of_weights_is_explained():
    why = ", because it is share-alike, and the weights learnt from a, which are under it. The other recordings do"
    for licences, text in (
        (("free (a)",), "free (a); README.md has the attributions"),
        (("CC0-1.0", "unknown"), "unknown, because nobody named that of b"),
        (("CC-BY-3.0", "CC0-1.0"), "CC-BY-3.0 (a), CC0-1.0 (b); README.md has the attributions"),
        (("CC-BY-SA-3.0", "CC0-1.0"), f"CC-BY-SA-3.0{why} not change that: CC0-1.0 (b)."),
        (("CC-BY-SA-4.0", "CC-BY-SA-3.0"), f"CC-BY-SA-4.0{why} not change that: CC-BY-SA-3.0 (b)."),
        (("CC-BY-SA-3.0", "CC-BY-NC-4.0"), "none is known to allow sharing them"),
    ):
        data = [{"corpus": name, "hours": 1.0, "licence": each} for name, each in zip("ab", licences, strict=False)]
        assert licence_of({"data": data}) == text


def branch(folder, seed, corpus, **sizes):
    torch.manual_seed(seed)
    data = [{"corpus": corpus, "hours": 1.0, "licence": "CC0-1.0"}]
    return save_model(folder, tiny_waveglow("lapped", **sizes), TINY_MEL, {"data": data}, {"voices": {}})


def test_compatible_models_are_averaged_and_others_rejected(tmp_path, cli_error):
    branches = [branch(tmp_path / str(i), i, f"corpus {i // 2}") for i in range(3)]
    assert main(["publish", *map(str, branches), "-o", str(tmp_path / "mean"), "--dtype", "float32"]) == 0
    made, states = load_model(tmp_path / "mean"), [load_model(each).model.state_dict() for each in branches]
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, sum(state[name] for state in states) / 3)
    corpora = [[entry["corpus"] for entry in made.provenance[way]] for way in ("data", "inherited")]
    assert corpora == [["corpus 1"], ["corpus 0"]]
    assert (made.quality, mean_of(branches[:1]).quality) == ({}, {"voices": {}})
    other = branch(tmp_path / "other", 0, "corpus 1", flows=2)
    assert "their architectures or mel" in cli_error(main, "publish", branches[0], other, "-o", tmp_path / "none")
