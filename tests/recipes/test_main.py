"""The table of recipes: each is a module with arguments and a run, and loads without the others."""

from __future__ import annotations

import importlib

import pytest

from recipes.__main__ import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_recipe_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    assert callable(module.run)
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert "--config" in capsys.readouterr().out
