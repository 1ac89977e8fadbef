"""From a launch file and its arguments to the processes it asks for; starts nothing.

The subset of ROS 2's launch format that is understood stands in `KNOWN`; its meaning, scoping included, is
that of `ros2 launch`. Anything else is an error that names file, line and key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mivla_bringup.launcher import packages
from mivla_bringup.launcher.arguments import Argument, argument_of, require_end
from mivla_bringup.launcher.document import Element, LaunchError, actions, read_launch_file
from mivla_bringup.launcher.substitutions import Substitutions

CONDITIONS = frozenset({"if", "unless"})
PROCESS = frozenset({"name", "respawn", "respawn_delay", "on_exit", "output"}) | CONDITIONS
KNOWN = {
    "arg": frozenset({"name", "default", "description"}),
    "let": frozenset({"name", "value"}) | CONDITIONS,
    "set_env": frozenset({"name", "value"}) | CONDITIONS,
    "include": frozenset({"file", "arg"}) | CONDITIONS,
    "group": frozenset({"scoped", "children"}) | CONDITIONS,
    "push_ros_namespace": frozenset({"namespace"}) | CONDITIONS,
    "node": frozenset({"pkg", "exec", "namespace", "args", "param", "remap"}) | PROCESS,
    "executable": frozenset({"cmd"}) | PROCESS,
}


@dataclass(frozen=True)
class ProcessSpec:
    """One process to run.

    Attributes:
        name: what its output is labelled with.
        command: words of its command line.
        environment: variables that differ from the launcher's own.
        required: everything stops when it ends (`on_exit: shutdown`).
        respawn: it is started again, `respawn_delay_s` after its end.
        place: file and line that asked for it.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    required: bool = False
    respawn: bool = False
    respawn_delay_s: float = 0.0
    place: str = ""


@dataclass(frozen=True)
class Plan:
    """What a launch file comes to: its processes in order, and the arguments it knows."""

    processes: tuple[ProcessSpec, ...]
    arguments: tuple[Argument, ...]


def plan_launch(
    path: Path, arguments: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> Plan:
    """The processes of a launch file run with `arguments`.

    Args:
        environment: variables that `$(env)` reads and `set_env` changes; this process's own by default.

    Raises:
        LaunchError: the file cannot be read or asks for something unknown; an argument is missing or unknown.
    """
    planner = _Planner(dict(os.environ if environment is None else environment), arguments)
    planner.include(path)
    unknown = sorted(set(arguments) - {argument.name for argument in planner.arguments})
    if unknown:
        known = [argument.name for argument in planner.arguments]
        raise LaunchError(f"{path}: argument {unknown[0]!r}: expected one of {known}")
    return Plan(tuple(planner.processes), tuple(planner.arguments))


class _Planner:
    """Walks through actions in order, as the launch system does; scopes are what changes on the way."""

    def __init__(self, environment: dict[str, str], arguments: Mapping[str, str]) -> None:
        self._outer = dict(environment)
        self._environment = environment
        self._variables = dict(arguments)
        self._namespace = ""
        self._depth = 0  # of includes
        self.processes: list[ProcessSpec] = []
        self.arguments: list[Argument] = []
        self._handlers: dict[str, Callable[[Element], None]] = {
            "arg": self._declare,
            "let": self._let,
            "set_env": self._set_env,
            "include": self._include,
            "group": self._group,
            "push_ros_namespace": self._push_namespace,
            "node": self._node,
            "executable": self._executable,
        }

    def include(self, path: Path) -> None:
        self._depth += 1
        require_end(path, self._depth)
        self._run(read_launch_file(path))
        self._depth -= 1

    def _run(self, elements: list[Element]) -> None:
        for element in elements:
            if element.kind not in KNOWN:
                raise element.place.error(
                    f"action {element.kind!r} is not supported; expected one of {sorted(KNOWN)}"
                )
            element.require_known(KNOWN[element.kind])
            if element.fields.keys() >= CONDITIONS:
                raise element.at("unless").error(
                    f"{element.kind}: expected either 'if' or 'unless', found both; put one on a group around it"
                )
            if self._holds(element):
                self._handlers[element.kind](element)

    def _holds(self, element: Element) -> bool:
        return self._boolean(element, "if", True) and not self._boolean(element, "unless", False)

    # Values

    def _resolve(self, element: Element, key: str, change: Callable[[str], Any]) -> Any:
        """A scalar through a substitution; errors get its place."""
        try:
            return change(element.required(key))
        except LaunchError as error:
            if str(error).startswith(str(element.place.file)):
                raise
            raise element.at(key).error(f"{element.kind}: {key}: {error}") from None

    def _text(self, element: Element, key: str, default: str | None = None) -> str:
        if default is not None and key not in element.fields:
            return default
        return self._resolve(element, key, self._substitutions.apply)

    def _words(self, element: Element, key: str) -> tuple[str, ...]:
        return self._resolve(element, key, self._substitutions.words) if key in element.fields else ()

    def _boolean(self, element: Element, key: str, default: bool) -> bool:
        text = self._text(element, key, str(default)).strip().lower()
        if text not in ("true", "1", "false", "0"):
            raise element.at(key).error(f"{element.kind}: {key}: expected true or false, found {text!r}")
        return text in ("true", "1")

    def _seconds(self, element: Element, key: str) -> float:
        text = self._text(element, key, "0")
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise element.at(key).error(
                f"{element.kind}: {key}: expected seconds, at least 0, found {text!r}"
            )
        return seconds

    @property
    def _substitutions(self) -> Substitutions:
        return Substitutions(
            self._variables,
            self._environment,
            lambda package: packages.find_share(package, self._environment),
        )

    # Actions

    def _declare(self, element: Element) -> None:
        argument = argument_of(element)
        self.arguments.append(argument)
        if argument.name in self._variables:
            return
        if argument.default is None:
            about = f" ({argument.description})" if argument.description else ""
            raise element.place.error(f"argument {argument.name!r}{about}: expected {argument.name}:=VALUE")
        self._variables[argument.name] = self._text(element, "default")

    def _let(self, element: Element) -> None:
        self._variables[self._text(element, "name")] = self._text(element, "value")

    def _set_env(self, element: Element) -> None:
        self._environment[self._text(element, "name")] = self._text(element, "value")

    def _include(self, element: Element) -> None:
        file = Path(self._text(element, "file"))
        if not file.is_file():
            raise element.at("file").error(f"include: file: expected a launch file, found no {file}")
        for item in element.items("arg", frozenset({"name", "value"})):
            self._let(item)
        self.include(file)

    def _group(self, element: Element) -> None:
        if "children" not in element.fields:
            raise element.place.error("group: expected the key 'children' with a list of actions")
        children = actions(element.fields["children"], "group", element.place.file)
        if self._boolean(element, "scoped", True):
            with self._scope():
                self._run(children)
        else:
            self._run(children)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Variables, environment and namespace that end with a group."""
        kept = dict(self._variables), dict(self._environment), self._namespace
        yield
        self._variables, self._environment, self._namespace = kept

    def _push_namespace(self, element: Element) -> None:
        self._namespace = _joined(self._namespace, self._text(element, "namespace"))

    def _node(self, element: Element) -> None:
        package, executable = self._text(element, "pkg"), self._text(element, "exec")
        try:
            command = packages.find_executable(package, executable, self._environment)
        except LaunchError as error:
            raise element.at("exec").error(f"node: {error}") from None
        name = self._text(element, "name", executable)
        command += self._words(element, "args") + self._ros_arguments(element)
        self._add(element, name, command)

    def _ros_arguments(self, element: Element) -> tuple[str, ...]:
        words: list[str] = []
        if "name" in element.fields:
            words += ["-r", f"__node:={self._text(element, 'name')}"]
        namespace = _joined(self._namespace, self._text(element, "namespace", ""))
        if namespace:
            words += ["-r", f"__ns:=/{namespace.lstrip('/')}"]
        for item in element.items("param", frozenset({"name", "value", "type", "from"})):
            words += self._parameter(item)
        for item in element.items("remap", frozenset({"from", "to"})):
            words += ["-r", f"{self._text(item, 'from')}:={self._text(item, 'to')}"]
        return ("--ros-args", *words, "--") if words else ()

    def _parameter(self, item: Element) -> list[str]:
        if ("name" in item.fields) == ("from" in item.fields):
            raise item.place.error(
                f"{item.kind}: expected either 'name' or 'from', found {sorted(item.fields)}"
            )
        if "name" in item.fields:
            return ["-p", f"{self._text(item, 'name')}:={self._parameter_value(item)}"]
        item.require_known(frozenset({"from"}))
        file = self._text(item, "from")
        if not Path(file).is_file():
            raise item.at("from").error(f"{item.kind}: from: expected a parameter file, found no {file}")
        return ["--params-file", file]

    def _parameter_value(self, item: Element) -> str:
        """A parameter as a YAML value for the command line; without `type`, text that reads as a number is one."""
        node = item.fields.get("value")
        if isinstance(node, yaml.SequenceNode):
            item.require_known(frozenset({"name", "value"}))
            values = [Element(item.kind, {"value": entry}, item.place) for entry in node.value]
            return json.dumps([_typed(self._text(value, "value")) for value in values], ensure_ascii=False)
        text, kind = self._text(item, "value"), self._text(item, "type", "yaml")
        if kind not in PARAMETER_TYPES:
            raise item.at("type").error(
                f"param: type: expected one of {sorted(PARAMETER_TYPES)}, found {kind!r}"
            )
        try:
            return json.dumps(PARAMETER_TYPES[kind](text), ensure_ascii=False)
        except ValueError:
            name = self._text(item, "name")
            raise item.at("value").error(
                f"param: {name}: expected a value of type {kind}, found {text!r}"
            ) from None

    def _executable(self, element: Element) -> None:
        command = self._resolve(element, "cmd", self._substitutions.words)
        if not command:
            raise element.at("cmd").error("executable: cmd: expected a command line, found nothing")
        self._add(element, self._text(element, "name", Path(command[0]).name), command)

    def _add(self, element: Element, name: str, command: tuple[str, ...]) -> None:
        on_exit = self._text(element, "on_exit", "")
        if on_exit not in ("", "shutdown"):
            raise element.at("on_exit").error(
                f"{element.kind}: on_exit: expected 'shutdown', found {on_exit!r}"
            )
        output = self._text(element, "output", "screen")
        if output != "screen":
            raise element.at("output").error(f"{element.kind}: output: expected 'screen', found {output!r}")
        changed = {k: v for k, v in self._environment.items() if self._outer.get(k) != v}
        self.processes.append(
            ProcessSpec(
                name=name,
                command=command,
                environment=changed,
                required=on_exit == "shutdown",
                respawn=self._boolean(element, "respawn", False),
                respawn_delay_s=self._seconds(element, "respawn_delay"),
                place=str(element.place),
            )
        )


def _joined(base: str, namespace: str) -> str:
    """`namespace` below `base`, or itself where it is absolute."""
    if namespace.startswith("/") or not base:
        return namespace.rstrip("/")
    return f"{base}/{namespace}".rstrip("/")


def _typed(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, int, float, str, list)) else text


def _boolean(text: str) -> bool:
    value = _typed(text)
    if not isinstance(value, bool):
        raise ValueError(text)
    return value


PARAMETER_TYPES: dict[str, Callable[[str], Any]] = {
    "yaml": _typed,
    "str": str,
    "int": int,
    "float": float,
    "bool": _boolean,
}
