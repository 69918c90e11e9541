"""The tables of recipes: each is a module with arguments and a run, which explains itself."""

from __future__ import annotations

import importlib

import pytest

from recipes.__main__ import COMMANDS, GROUPS, main

NAMES = [(name,) for name in COMMANDS if name not in GROUPS]
NAMES += [(group, name) for group, commands in GROUPS.items() for name in commands]


@pytest.mark.parametrize("words", NAMES, ids=" ".join)
def test_every_recipe_explains_itself(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    table = GROUPS[words[0]] if len(words) > 1 else COMMANDS
    assert callable(importlib.import_module(table[words[-1]][0]).run)
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: recipes {' '.join(words)} ")


def test_a_group_lists_its_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    for group, commands in GROUPS.items():
        assert main([group, "--help"]) == 0
        assert set(commands) <= set(capsys.readouterr().out.split())
