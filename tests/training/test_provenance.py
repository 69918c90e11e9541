import numpy as np
import pytest
from evaluation_corpus import write_recordings
from tiny_models import TINY_MEL, tiny_waveglow

from training.corpora.corpus import UNKNOWN
from training.provenance import heard_speakers, origin_of, provenance, run_name, with_inheritance
from vocoder.checkpoint import CheckpointError, save_model

OWN = {"corpus": "mine", "hours": 1.0, "licence": "CC0-1.0", "speakers": ["me"]}


def saved(directory, provenance):
    return str(save_model(directory, tiny_waveglow("lapped"), TINY_MEL, provenance))


def test_licences_of_the_base_are_inherited_or_unknown(tmp_path):
    entries = origin_of(start_from="waveglow")["inherited"]
    assert {"CC-BY-SA-3.0", "CC-BY-3.0"} <= {entry["licence"] for entry in entries}
    assert all(entry["attribution"] and entry["through"] == "start_from waveglow" for entry in entries)
    directory = saved(tmp_path / "foreign", {"imported": {"layout": "nvidia-waveglow"}})
    (entry,) = origin_of(start_from=directory)["inherited"]
    assert (entry["corpus"], entry["licence"]) == ("recordings of foreign", UNKNOWN)
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        origin_of(start_from="nowhere")
    found = with_inheritance({"data": [OWN], "start_from": "waveglow", "teacher": "another"})["inherited"]
    assert {entry["through"] for entry in found} == {"start_from waveglow (by its name)", "teacher another"}
    assert [entry["licence"] for entry in found if entry["through"] == "teacher another"] == [UNKNOWN]
    assert with_inheritance({"data": [OWN]}) == {"data": [OWN]}


def test_licences_are_inherited_through_every_generation(tmp_path):
    child = {"data": [OWN], **origin_of(start_from="waveglow")}
    parent = saved(tmp_path / "child" / "last" / "model", child)
    assert child["start_from"] == "waveglow"
    assert run_name("runs/child/last/model") == run_name("models/child") == "child"
    grandchild = origin_of(teacher=parent)
    assert grandchild["teacher"] == "child"
    found = {(entry["corpus"], entry["through"]) for entry in grandchild["inherited"]}
    assert ("mine", "teacher child") in found
    assert ("asterisk-en", "teacher child, start_from waveglow") in found
    assert origin_of() == {}


def test_a_corpus_inherited_in_several_ways_is_listed_once(tmp_path):
    teacher = saved(tmp_path / "teacher", {"data": [OWN]})
    again = {"data": [{**OWN, "hours": 2.0, "speakers": ["you"]}], **origin_of(teacher=teacher)}
    (entry,) = origin_of(start_from=saved(tmp_path / "again", again), teacher=teacher)["inherited"]
    assert entry == {**OWN, "hours": 2.0, "speakers": ["me", "you"], "through": "start_from again"}
    whole = {"data": [{name: value for name, value in OWN.items() if name != "speakers"}]}
    (entry,) = origin_of(start_from=saved(tmp_path / "whole", whole), teacher=teacher)["inherited"]
    assert "speakers" not in entry


def corpus(folder):
    x = 0.1 * np.random.default_rng(0).standard_normal(22050)
    fields = {"real": {}, "made": {"synthetic": True}, "kept": {"split": "test"}}
    named = [{"corpus": name, "speaker": name, "licence": f"{name}-1.0", **more} for name, more in fields.items()]
    return write_recordings(folder, *((x, entry) for entry in named))


def test_provenance_lists_synthetic_data_and_training_speakers(tmp_path):
    data = {entry["corpus"]: entry for entry in provenance(corpus(tmp_path))["data"]}
    assert data["real"] == {"corpus": "real", "hours": 0.0, "licence": "real-1.0", "speakers": ["real"]}
    assert data["made"]["synthetic"] is True
    assert "synthetic" not in data["real"]
    assert sorted(data) == ["made", "real"]
    speakers = heard_speakers({"data": [OWN], **origin_of(start_from="waveglow")})
    assert {("mine", "me"), ("festvox-ru", None)} <= speakers
    assert heard_speakers({"imported": {}}) is None
