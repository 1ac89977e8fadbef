"""Substitutions of launch files: `$(var name)`, `$(env NAME default)`, `$(find-pkg-share package)`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mivla_bringup.launcher.document import LaunchError

OPENING = re.compile(r"\$\(")
PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")  # private-use characters, which no launch file holds


@dataclass(frozen=True)
class Substitutions:
    """What the substitutions of a text stand for."""

    variables: Mapping[str, str]
    environment: Mapping[str, str]
    find_share: Callable[[str], str]

    def apply(self, text: str) -> str:
        """`text` with every substitution replaced by its value.

        Raises:
            LaunchError: a substitution is unknown, malformed, or has no value.
        """
        template, values = self._split(text)
        return _filled(template, values)

    def words(self, text: str) -> tuple[str, ...]:
        """`text` as the words of a command line; the value of a substitution is never split.

        Raises:
            LaunchError: as `apply`; or a quote is not closed.
        """
        template, values = self._split(text)
        try:
            for piece in PLACEHOLDER.split(template)[::2]:
                shlex.split(piece)  # `ros2 launch` takes no quotes around a substitution
            return tuple(_filled(word, values) for word in shlex.split(template))
        except ValueError as error:
            raise LaunchError(f"expected a command line, found {text!r}: {error}") from None

    def _split(self, text: str) -> tuple[str, list[str]]:
        """The text with placeholders where substitutions stood, and their values."""
        if "\\" in text:
            raise LaunchError(f"expected no backslash, found {text!r}: `ros2 launch` takes it away")
        template, values, position = "", list[str](), 0
        while opening := OPENING.search(text, position):
            end = _closing(text, opening.end())
            template += text[position : opening.start()] + f"\ue000{len(values)}\ue001"
            values.append(self._value(text[opening.end() : end]))
            position = end + 1
        return template + text[position:], values

    def _value(self, inside: str) -> str:
        if inside.split(" ") != inside.split():
            raise LaunchError(f"$({inside}): expected one space between its words, and none around them")
        name, *arguments = self.words(inside) or ("",)
        if name == "var" and len(arguments) == 1:
            if arguments[0] not in self.variables:
                raise LaunchError(f"$(var {arguments[0]}): expected one of {sorted(self.variables)}")
            return self.variables[arguments[0]]
        if name == "env" and len(arguments) in (1, 2):
            value = self.environment.get(arguments[0], *arguments[1:])
            if value is None:
                raise LaunchError(
                    f"$(env {arguments[0]}): the environment has no such variable; "
                    f"set it, or give a default: $(env {arguments[0]} default)"
                )
            return value
        if name == "find-pkg-share" and len(arguments) == 1:
            return self.find_share(arguments[0])
        raise LaunchError(
            f"$({inside}): expected $(var NAME), $(env NAME), $(env NAME default) or $(find-pkg-share PKG)"
        )


def _closing(text: str, position: int) -> int:
    """Index of the parenthesis that closes the substitution whose inside starts at `position`."""
    depth = 1
    for index in range(position, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise LaunchError(f"expected ')' after {text[position - 2 :]!r}")


def _filled(template: str, values: list[str]) -> str:
    return PLACEHOLDER.sub(lambda match: values[int(match.group(1))], template)
