from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from training.evaluate.listening.blind import ANCHOR, HIDDEN_REFERENCE, blind_test, low_anchor
from training.evaluate.listening.utterance import Clip, Utterance

RATE = 22050
NAMES = ("ours-secret", "theirs-secret", "ground truth")


def utterance(path: str) -> Utterance:
    rng = np.random.default_rng(len(path))
    reference, ours, theirs = (
        Clip(name, (0.1 * rng.standard_normal(4000)).astype(np.float32)) for name in (NAMES[2], NAMES[0], NAMES[1])
    )
    return Utterance("voice-secret", path, RATE, reference, [ours, theirs])


def trials_of(page: str) -> list[dict]:
    return json.loads(re.search(r'id="trials">(.*?)</script>', page, flags=re.DOTALL)[1])


def test_the_page_names_no_candidate_and_the_key_names_all() -> None:
    test = blind_test([utterance("a-secret.flac"), utterance("bb-secret.flac")])
    assert "secret" not in test.page
    assert not any(name in test.page for name in (*NAMES, HIDDEN_REFERENCE, ANCHOR))
    trials = trials_of(test.page)
    assert [trial["trial"] for trial in trials] == [1, 2]
    for trial, path in zip(trials, ("a-secret.flac", "bb-secret.flac"), strict=True):
        found = [test.key[item["item"]] for item in trial["items"]]
        assert {what["path"] for what in found} == {path}
        assert sorted(what["candidate"] for what in found) == sorted([HIDDEN_REFERENCE, ANCHOR, *NAMES[:2]])
    assert len(test.key) == 8
    assert re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)[^\"']+", test.page) == []  # it needs no network
    assert "http" not in re.sub(r"data:[^\"]+", "", test.page)


def test_the_hidden_reference_is_the_reference_and_nothing_else_is() -> None:
    test = blind_test([utterance("a.flac")])
    trial = trials_of(test.page)[0]
    same = [test.key[item["item"]]["candidate"] for item in trial["items"] if item["audio"] == trial["reference"]]
    assert same == [HIDDEN_REFERENCE]


def test_the_order_is_the_seed_s_and_tells_nothing() -> None:
    chosen = [utterance("a.flac")]
    orders = {tuple(what["candidate"] for what in blind_test(chosen, seed).key.values()) for seed in range(30)}
    assert len(orders) > 10
    assert {order[0] for order in orders} == {HIDDEN_REFERENCE, ANCHOR, *NAMES[:2]}
    assert blind_test(chosen, 3) == blind_test(chosen, 3)


def test_the_anchor_keeps_what_is_below_3500_hertz() -> None:
    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * time).astype(np.float32) for f in (1000.0, 5000.0))
    inside = slice(2000, -2000)
    assert np.abs(low_anchor(low, RATE) - low)[inside].max() < 0.01
    assert np.abs(low_anchor(high, RATE))[inside].max() < 0.01
    assert len(low_anchor(low[:4001], RATE)) == 4001


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_shuffles_and_writes_csv() -> None:
    source = (files("training.evaluate.listening") / "templates" / "ratings.js").read_text(encoding="utf-8")
    script = """
const trials = [{trial: 1, items: [{item: "aa"}, {item: "bb"}]}, {trial: 2, items: [{item: "cc"}]}];
const ratings = new Map([["aa", 80], ["cc", 0]]);
const orders = new Set();
for (let i = 0; i < 500; i++) orders.add(shuffled([1, 2, 3], Math.random).join(""));
console.log(JSON.stringify([csv('Ann "A", B', trials, ratings), [...orders].sort()]));
"""
    done = subprocess.run(["node", "-e", source + script], capture_output=True, text=True, check=True, timeout=60)
    table, orders = json.loads(done.stdout)
    assert table == 'listener,trial,item,rating\r\n"Ann ""A"", B",1,aa,80\r\n"Ann ""A"", B",2,cc,0\r\n'
    assert orders == ["123", "132", "213", "231", "312", "321"]
