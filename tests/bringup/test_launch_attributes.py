"""Every attribute of a launch file takes what `ros2 launch` takes, and nothing else.

Each row was tried with launch 3.7.1 and launch_ros 0.28. launch_yaml converts nothing, so `respawn: true`, which
YAML reads as a boolean where text is wanted, ends every `ros2 launch` with a TypeError.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mivla_bringup.launcher.attributes import ACTION_KEYS, ITEM_KEYS
from mivla_bringup.launcher.checks import read_checked
from mivla_bringup.launcher.document import LaunchError
from mivla_bringup.launcher.packages import find_share

VALUES = {
    "text": '"true"',
    "boolean": "true",
    "whole number": "2",
    "number": "2.0",
    "nothing": "~",
    "date": "2026-01-01",
    "list": "[a]",
    "empty list": "[]",
    "mapping": "{a: b}",
}
TEXT, BOOLEAN, FLOAT = {"text"}, {"boolean"}, {"number"}
ACTION_LIST = {"empty list"}
NO_SUCH_ITEMS = set[str]()  # items that are none of the attribute's own; see the rows of each kind of item
ATTRIBUTES = {
    ("arg", "name"): TEXT,
    ("arg", "default"): TEXT,
    ("arg", "description"): TEXT,
    ("let", "name"): TEXT,
    ("let", "value"): TEXT,
    ("let", "if"): TEXT,
    ("let", "unless"): TEXT,
    ("set_env", "name"): TEXT,
    ("set_env", "value"): TEXT,
    ("set_env", "if"): TEXT,
    ("set_env", "unless"): TEXT,
    ("include", "file"): TEXT,
    ("include", "arg"): NO_SUCH_ITEMS,
    ("include", "if"): TEXT,
    ("include", "unless"): TEXT,
    ("group", "scoped"): BOOLEAN,
    ("group", "children"): ACTION_LIST,
    ("group", "if"): TEXT,
    ("group", "unless"): TEXT,
    ("push_ros_namespace", "namespace"): TEXT,
    ("push_ros_namespace", "if"): TEXT,
    ("push_ros_namespace", "unless"): TEXT,
    ("node", "pkg"): TEXT,
    ("node", "exec"): TEXT,
    ("node", "name"): TEXT,
    ("node", "namespace"): TEXT,
    ("node", "args"): TEXT,
    ("node", "param"): NO_SUCH_ITEMS,
    ("node", "remap"): NO_SUCH_ITEMS,
    ("node", "respawn"): TEXT,
    ("node", "respawn_delay"): FLOAT,
    ("node", "on_exit"): TEXT,
    ("node", "output"): TEXT,
    ("node", "if"): TEXT,
    ("node", "unless"): TEXT,
    ("executable", "cmd"): TEXT,
    ("executable", "name"): TEXT,
    ("executable", "respawn"): TEXT,
    ("executable", "respawn_delay"): FLOAT,
    ("executable", "on_exit"): TEXT,
    ("executable", "output"): TEXT,
    ("executable", "if"): TEXT,
    ("executable", "unless"): TEXT,
}
ANY_SCALAR = {"text", "boolean", "whole number", "number", "list", "empty list"}
ITEM_ATTRIBUTES = {
    ("arg", "name"): TEXT,
    ("arg", "value"): TEXT,
    ("param", "name"): TEXT,
    ("param", "value"): ANY_SCALAR,
    ("param", "from"): TEXT,
    ("remap", "from"): TEXT,
    ("remap", "to"): TEXT,
}
COMPLETE = {
    "arg": {"name": "a"},
    "let": {"name": "a", "value": "b"},
    "set_env": {"name": "a", "value": "b"},
    "include": {"file": "$(var file)"},
    "group": {"children": "[]"},
    "push_ros_namespace": {"namespace": "a"},
    "node": {"pkg": "a", "exec": "b"},
    "executable": {"cmd": "a"},
}
COMPLETE_ITEMS = {
    "arg": {"name": "a", "value": "b"},
    "param": {"name": "a", "value": "b"},
    "remap": {"from": "a", "to": "b"},
}
HOLDER = {"arg": "include", "param": "node", "remap": "node"}
PARAMETER_TYPES = {
    "str": {"text"},
    "bool": {"boolean"},
    "int": {"whole number"},
    "float": {"number"},
    "yaml": {"text", "boolean", "whole number", "number"},
}


def mapping(keys: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


def item_action(kind: str, keys: dict[str, str]) -> str:
    """An action that holds one item of `kind`."""
    holder = HOLDER[kind]
    return f"{holder}: {mapping({**COMPLETE[holder], kind: '[' + mapping(keys) + ']'})}"


def accepted(folder: Path, action: str) -> bool:
    file = folder / "test.launch.yaml"
    file.write_text(f"launch:\n- {action}\n")
    try:
        read_checked(file)
    except LaunchError as error:
        refusal = str(error)
    else:
        return True
    assert refusal.startswith(f"{file}:2: ")
    return False


@pytest.mark.parametrize(("action", "key"), ATTRIBUTES, ids=lambda word: word)
def test_an_attribute_takes_what_ros2_launch_takes(tmp_path, action, key):
    taken = {
        name
        for name, value in VALUES.items()
        if accepted(tmp_path, f"{action}: {mapping({**COMPLETE[action], key: value})}")
    }
    assert taken == ATTRIBUTES[action, key]


@pytest.mark.parametrize(("kind", "key"), ITEM_ATTRIBUTES, ids=lambda word: word)
def test_an_attribute_of_an_item_takes_what_ros2_launch_takes(tmp_path, kind, key):
    others = {} if key == "from" and kind == "param" else COMPLETE_ITEMS[kind]
    taken = {
        name
        for name, value in VALUES.items()
        if accepted(tmp_path, item_action(kind, {**others, key: value}))
    }
    assert taken == ITEM_ATTRIBUTES[kind, key]


@pytest.mark.parametrize("kind", PARAMETER_TYPES)
def test_a_parameter_of_a_stated_type_takes_that_type_or_a_substitution(tmp_path, kind):
    values = {name: value for name, value in VALUES.items() if "list" not in name}
    values["substitution"] = "$(var a)"
    taken = {
        name
        for name, value in values.items()
        if accepted(tmp_path, item_action("param", {"name": "a", "value": value, "type": kind}))
    }
    assert taken == {*PARAMETER_TYPES[kind], "substitution"}


def test_no_attribute_is_missing_from_this_table():
    assert {(action, key) for action, keys in ACTION_KEYS.items() for key in keys} == set(ATTRIBUTES)
    items = {(kind, key) for kind, keys in ITEM_KEYS.items() for key in keys}
    assert items == {*ITEM_ATTRIBUTES, ("param", "type")}


def test_a_refusal_says_what_yaml_read_and_what_to_write(tmp_path):
    file = tmp_path / "test.launch.yaml"
    file.write_text("launch:\n- executable: {cmd: a, respawn: true}\n")
    with pytest.raises(
        LaunchError, match=r"respawn: expected text, found 'true', .* a boolean; write \"true\""
    ):
        read_checked(file)


@pytest.mark.parametrize(
    "file", sorted((Path(find_share("mivla_bringup")) / "launch").iterdir()), ids=lambda file: file.name
)
def test_every_shipped_launch_file_is_one_that_ros2_launch_reads(file):
    assert read_checked(file)
