import importlib

import pytest

from recipes.__main__ import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_recipe_has_a_help_text(name, capsys):
    assert callable(importlib.import_module(COMMANDS[name][0]).run)
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: recipes {name} ")
