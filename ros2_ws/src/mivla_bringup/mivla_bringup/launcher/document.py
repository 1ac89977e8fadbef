"""A launch file as elements that know the file and line they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from mivla_drivers.errors import MivlaError
from mivla_drivers.text import shortened

LARGEST_FILE = 1_000_000  # bytes
MOST_VALUES = 100_000


class LaunchError(MivlaError):
    """A launch file, or what it asks for, cannot be run; the message names file, line and key."""


@dataclass(frozen=True)
class Place:
    """Where in a launch file something stands."""

    file: Path
    line: int

    def error(self, message: str) -> LaunchError:
        """An error that starts with this place."""
        return LaunchError(f"{self.file}:{self.line}: {message}")

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Element:
    """A mapping of a launch file: an action such as `node`, or an item of a list such as `param`."""

    kind: str
    fields: dict[str, yaml.Node]
    place: Place

    def text(self, key: str) -> str | None:
        """The scalar under `key` as it is written, None where the key is missing.

        Raises:
            LaunchError: there is a list or a mapping instead.
        """
        node = self.fields.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            raise self.at(key).error(f"{self.kind}: {key}: expected a single value, found {_described(node)}")
        return node.value

    def required(self, key: str) -> str:
        """The scalar under `key`.

        Raises:
            LaunchError: the key is missing, or holds a list or a mapping.
        """
        text = self.text(key)
        if text is None:
            raise self.place.error(f"{self.kind}: expected the key {key!r}, found {sorted(self.fields)}")
        return text

    def items(self, key: str) -> list[Element]:
        """The list of mappings under `key`, empty where the key is missing.

        Raises:
            LaunchError: it is no list of mappings, or an empty one, which `ros2 launch` cannot read.
        """
        node = self.fields.get(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self.at(key).error(f"{self.kind}: {key}: expected a list, found {_described(node)}")
        if not node.value:
            raise self.at(key).error(f"{self.kind}: {key}: expected items, found an empty list; leave it out")
        return [mapping(item, f"{self.kind}: {key}", self.place.file) for item in node.value]

    def at(self, key: str) -> Place:
        """Where the value of `key` stands, the element's own place where the key is missing."""
        node = self.fields.get(key)
        return self.place if node is None else Place(self.place.file, node.start_mark.line + 1)


def read_launch_file(path: Path) -> list[Element]:
    """The actions of a launch file, in order.

    Raises:
        LaunchError: the file is not there, is no YAML, or is no list of actions under `launch`.
    """
    if not path.is_file():
        raise LaunchError(f"{path}: expected a launch file, found none")
    if not path.name.endswith((".yaml", ".yml")):
        raise LaunchError(f"{path}: expected a YAML launch file; Python and XML ones need `ros2 launch`")
    document = _composed(path)
    if document is None:
        raise Place(path, 1).error("expected 'launch' with a list of actions, found an empty file")
    top = mapping(document, "launch file", path)
    if list(top.fields) != ["launch"]:
        raise top.place.error(f"expected 'launch' with a list of actions, found {list(top.fields)}")
    return actions(top.fields["launch"], "launch", path)


def _composed(path: Path) -> yaml.Node | None:
    """The YAML of a file, of a size and depth that every later look at it can bear, aliases written out."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise LaunchError(f"{path}: expected at most {LARGEST_FILE} bytes, found {size}")
        document = yaml.compose(path.read_text(encoding="utf-8"))
        if document is not None:
            _require_size(document, path, {})
        return document
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Place(path, line).error(f"expected YAML: {shortened(error.problem, 200)}") from None
    except RecursionError:
        raise Place(path, 1).error("expected YAML, found values nested too deep") from None
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise LaunchError(f"{path}: expected YAML, found: {shortened(error, 200)}") from None


def _require_size(node: yaml.Node, path: Path, known: dict[int, int]) -> int:
    """Values in `node`, those behind aliases counted wherever they stand; `known` has those counted before."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if known[id(node)] == 0:
            raise _place(node, path).error("expected values, found one that holds itself by an alias")
        return known[id(node)]
    known[id(node)] = 0
    children = (
        node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    )
    count = 1 + sum(_require_size(child, path, known) for child in children)
    if count > MOST_VALUES:
        raise _place(node, path).error(
            f"expected at most {MOST_VALUES} values, aliases written out, found more"
        )
    known[id(node)] = count
    return count


def actions(node: yaml.Node, where: str, file: Path) -> list[Element]:
    """The actions of a list such as `launch` or a group's `children`.

    Raises:
        LaunchError: it is no list, or an item is not a single action.
    """
    if not isinstance(node, yaml.SequenceNode):
        raise _place(node, file).error(f"{where}: expected a list of actions, found {_described(node)}")
    return [_action(item, where, file) for item in node.value]


def _action(node: yaml.Node, where: str, file: Path) -> Element:
    outer = mapping(node, where, file)
    if len(outer.fields) != 1:
        raise outer.place.error(f"{where}: expected one action per item, found {sorted(outer.fields)}")
    ((kind, body),) = outer.fields.items()
    if kind == "group" and isinstance(body, yaml.SequenceNode):
        return Element(kind, {"children": body}, outer.place)
    return Element(kind, mapping(body, kind, file).fields, outer.place)


def mapping(node: yaml.Node, kind: str, file: Path) -> Element:
    """A YAML mapping as an element.

    Raises:
        LaunchError: it is no mapping, or a key stands in it twice.
    """
    place = _place(node, file)
    if not isinstance(node, yaml.MappingNode):
        raise place.error(f"{kind}: expected a mapping, found {_described(node)}")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value in fields:
            raise _place(key, file).error(f"{kind}: key {key.value!r} stands here a second time")
        fields[key.value] = value
    return Element(kind, fields, place)


def _place(node: yaml.Node, file: Path) -> Place:
    return Place(file, node.start_mark.line + 1)


def _described(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
