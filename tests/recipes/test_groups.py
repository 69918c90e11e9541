"""A recipe of several commands lists them, and each explains itself."""

from __future__ import annotations

import pytest

from recipes.__main__ import COMMANDS, GROUPS, main


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert group in COMMANDS
    assert main([group, "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in GROUPS[group])


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in GROUPS.items() for name in names])
def test_every_command_explains_itself(group: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([group, name, "--help"])
    assert caught.value.code == 0
    assert f"recipes {group} {name}" in capsys.readouterr().out
