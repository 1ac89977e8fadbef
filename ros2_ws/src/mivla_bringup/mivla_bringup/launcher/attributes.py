"""Which keys a launch file may use, and what YAML must read each value as: exactly what `ros2 launch` accepts.

Source: the `get_attr` calls in the `parse` methods of launch 3.7 and launch_ros 0.28 (the same from Humble on), and
`Entity.get_attr` of launch_yaml, which converts nothing: `respawn: true` ends every `ros2 launch` with a TypeError.
Where they take more than one type but only one of them works, only that one stands here: a `scoped: "false"`
counts as true, and a `respawn_delay: "2.0"` cannot be compared with 0.
"""

from __future__ import annotations

from enum import Enum

import yaml

YAML = "tag:yaml.org,2002:"


class Kind(Enum):
    """What YAML reads a value as; the value of a scalar's kind is its YAML tag."""

    TEXT = "str"
    BOOLEAN = "bool"
    FLOAT = "float"
    ITEMS = "a list of mappings"
    ACTIONS = "a list of actions"
    PARAMETER = "a parameter's value"


TEXT, BOOLEAN, FLOAT, ITEMS, ACTIONS, PARAMETER = Kind
EXPECTED = {
    TEXT: "text",
    BOOLEAN: "true or false without quotes",
    FLOAT: "a number with a decimal point, without quotes",
}
READ_AS = {
    "str": "text",
    "bool": "a boolean",
    "int": "a whole number",
    "float": "a number",
    "null": "nothing",
}
CONDITIONS = {"if": TEXT, "unless": TEXT}
PROCESS = {
    "name": TEXT,
    "respawn": TEXT,
    "respawn_delay": FLOAT,
    "on_exit": TEXT,
    "output": TEXT,
    **CONDITIONS,
}
ACTION_KEYS: dict[str, dict[str, Kind]] = {
    "arg": {"name": TEXT, "default": TEXT, "description": TEXT},
    "let": {"name": TEXT, "value": TEXT, **CONDITIONS},
    "set_env": {"name": TEXT, "value": TEXT, **CONDITIONS},
    "include": {"file": TEXT, "arg": ITEMS, **CONDITIONS},
    "group": {"scoped": BOOLEAN, "children": ACTIONS, **CONDITIONS},
    "push_ros_namespace": {"namespace": TEXT, **CONDITIONS},
    "node": {
        "pkg": TEXT,
        "exec": TEXT,
        "namespace": TEXT,
        "args": TEXT,
        "param": ITEMS,
        "remap": ITEMS,
        **PROCESS,
    },
    "executable": {"cmd": TEXT, **PROCESS},
}
ITEM_KEYS: dict[str, dict[str, Kind]] = {
    "arg": {"name": TEXT, "value": TEXT},
    "param": {"name": TEXT, "value": PARAMETER, "type": TEXT, "from": TEXT},
    "remap": {"from": TEXT, "to": TEXT},
}
REQUIRED = {
    "arg": {"name"},
    "let": {"name", "value"},
    "set_env": {"name", "value"},
    "include": {"file"},
    "group": {"children"},
    "push_ros_namespace": {"namespace"},
    "node": {"pkg", "exec"},
    "executable": {"cmd"},
}
ITEM_REQUIRED = {"arg": {"name", "value"}, "param": set[str](), "remap": {"from", "to"}}
# What `value` may be beside text that holds a substitution; a parameter without `type` may be any of these.
VALUE_TAGS = {
    "str": {"str"},
    "bool": {"bool"},
    "int": {"int"},
    "float": {"float"},
    "yaml": {"str", "bool", "int", "float"},
}


def tag(node: yaml.Node) -> str:
    """What YAML reads a scalar as: "str", "bool", "int", "float", "null" and rarer ones such as "timestamp"."""
    return node.tag.removeprefix(YAML)


def mismatch(kind: Kind, node: yaml.Node) -> str:
    """What is wrong with a scalar, empty where it is of its kind or its kind is no scalar's."""
    if kind not in EXPECTED or (isinstance(node, yaml.ScalarNode) and tag(node) == kind.value):
        return ""
    if not isinstance(node, yaml.ScalarNode):
        found = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        return f"expected {EXPECTED[kind]}, found {found}"
    advice = f'; write "{node.value}" in quotes' if kind is TEXT else ""
    read = READ_AS.get(tag(node), tag(node))
    return f"expected {EXPECTED[kind]}, found {node.value!r}, which YAML reads as {read}{advice}"
