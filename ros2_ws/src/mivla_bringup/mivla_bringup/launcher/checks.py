"""A launch file's keys and values, checked before anything is run: branches that no condition takes as well.

`ros2 launch` reads a whole file before it looks at a condition, so a fault anywhere in it ends every start.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from mivla_bringup.launcher.attributes import (
    ACTION_KEYS,
    CONDITIONS,
    ITEM_KEYS,
    ITEM_REQUIRED,
    READ_AS,
    REQUIRED,
    VALUE_TAGS,
    Kind,
    mismatch,
    tag,
)
from mivla_bringup.launcher.document import Element, actions, read_launch_file


def read_checked(path: Path) -> list[Element]:
    """The actions of a launch file, in order, every key and value of which `ros2 launch` would accept.

    Raises:
        LaunchError: names file, line and key.
    """
    elements = read_launch_file(path)
    for element in elements:
        _check(element)
    return elements


def _check(element: Element) -> None:
    """Refuse what is unknown or of another type in an action, its items and its children."""
    if element.kind not in ACTION_KEYS:
        raise element.place.error(
            f"action {element.kind!r} is not supported; expected one of {sorted(ACTION_KEYS)}"
        )
    known = ACTION_KEYS[element.kind]
    _check_keys(element, known, REQUIRED[element.kind])
    if element.fields.keys() >= CONDITIONS.keys():
        raise element.at("unless").error(
            f"{element.kind}: expected either 'if' or 'unless', found both; put one on a group around it"
        )
    for key, kind in known.items():
        if kind is Kind.ITEMS:
            for item in element.items(key):
                _check_keys(item, ITEM_KEYS[key], ITEM_REQUIRED[key])
                if key == "param":
                    _check_parameter(item)
    if element.kind == "group":
        for child in actions(element.fields["children"], "group", element.place.file):
            _check(child)


def _check_keys(element: Element, known: dict[str, Kind], required: set[str]) -> None:
    for key, node in element.fields.items():
        if key not in known:
            raise element.at(key).error(
                f"{element.kind}: key {key!r} is not supported; expected some of {sorted(known)}"
            )
        if fault := mismatch(known[key], node):
            raise element.at(key).error(f"{element.kind}: {key}: {fault}")
    for key in sorted(required - element.fields.keys()):
        raise element.place.error(f"{element.kind}: expected the key {key!r}, found {sorted(element.fields)}")


def _check_parameter(item: Element) -> None:
    """A parameter is a file (`from`), or a `name` with a `value` of its `type`."""
    if ("name" in item.fields) == ("from" in item.fields):
        raise item.place.error(f"{item.kind}: expected either 'name' or 'from', found {sorted(item.fields)}")
    allowed = {"from"} if "from" in item.fields else {"name", "value", "type"}
    value = item.fields.get("value")
    if isinstance(value, yaml.SequenceNode):
        allowed -= {"type"}
    for key in item.fields:
        if key not in allowed:
            raise item.at(key).error(
                f"{item.kind}: key {key!r} is not supported here; expected some of {sorted(allowed)}"
            )
    if "from" in item.fields:
        return
    kind = item.text("type") or "yaml"
    if kind not in VALUE_TAGS:
        raise item.at("type").error(f"param: type: expected one of {sorted(VALUE_TAGS)}, found {kind!r}")
    for node in value.value if isinstance(value, yaml.SequenceNode) else [value]:
        _check_value(item, node, kind)


def _check_value(item: Element, node: yaml.Node | None, kind: str) -> None:
    """Refuse a value that `ros2 launch` does not take for `kind`; text that holds a substitution comes later."""
    name = item.required("name")
    if not isinstance(node, yaml.ScalarNode):
        raise item.at("value").error(f"param: {name}: expected the key 'value' with a single value or a list")
    later = tag(node) == "str" and "$(" in node.value
    if tag(node) not in VALUE_TAGS[kind] and not later:
        read = READ_AS.get(tag(node), tag(node))
        raise item.at("value").error(
            f"param: {name}: expected a value of type {kind}, found {node.value!r}, which YAML reads as {read}"
        )
