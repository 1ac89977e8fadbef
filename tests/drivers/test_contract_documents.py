"""Contracts come out of files that others wrote: whatever is in them, they load or are refused in short lines."""

from __future__ import annotations

import copy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mivla_drivers.contract import parse_contract, require_same_contract
from mivla_drivers.errors import ContractError

PIPER = Path(str(files("mivla_drivers") / "robots" / "piper"))
TEXT, URDF = (PIPER / "robot.yaml").read_text(), (PIPER / "piper.urdf").read_text()
DOCUMENT = yaml.safe_load(TEXT)
LONGEST_LINE = 1200

BOMB = "a: &a [1, 1]\n" + "\n".join(f"b{i}: &b{i} [*b{i - 1}, *b{i - 1}]" for i in range(1, 30))
REFUSED = {
    "aliases": ("a: &x [1]\nb: *x\n", "line 1: expected YAML, found: an anchor or alias"),
    "a bomb of aliases": (BOMB, "an anchor or alias"),
    "a Python object": ("a: !!python/object/apply:os.system [ls]\n", "found: tag tag:yaml.org,2002:python"),
    "a set": ("a: !!set {b, c}\n", "found: tag tag:yaml.org,2002:set"),
    "deep lists": ("a: " + "[" * 3000, "values nested deeper than 20 levels"),
    "deep mappings": ("a: " + "{a: " * 30 + "1" + "}" * 30, "values nested deeper than 20 levels"),
    "a number of thousands of digits": ("a: " + "9" * 6000, "expected YAML, found"),
    "a day that there is not": ("a: 2001-99-99", "expected YAML, found"),
    "a key twice": ("robot: a\nrobot: b\n", "line 2: expected YAML, found: key 'robot' twice"),
    "a list as key": ("? [1]\n: 2\n", "found: a key that is no text"),
    "two documents": ("a: 1\n---\nb: 2\n", "expected YAML, found"),
    "a NUL": ("a: \x00", "expected YAML, found"),
    "much of it": ("#" * 200_000, "expected at most 100000 characters, found 200000"),
    "nothing": ("", "expected a mapping, found None"),
    "a word": ("piper", "expected a mapping, found 'piper'"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_contract_is_refused_in_one_line(text, message):
    with pytest.raises(ContractError) as refusal:
        parse_contract(text, URDF, "robot.yaml")
    assert str(refusal.value).startswith("robot.yaml: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_number_that_yaml_takes_for_text_is_shown_as_it_should_be_written():
    with pytest.raises(ContractError, match=r"zero_offset: .* found '3e-2', a text; YAML 1.1 wants .*: 0.03"):
        parse_contract(
            TEXT.replace("action_slot: 49", "action_slot: 49, zero_offset: 3e-2"), URDF, "robot.yaml"
        )


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a document."""
    found = [path] if path else []
    entries = dict(enumerate(value)) if isinstance(value, list) else value if isinstance(value, dict) else {}
    for key, inner in entries.items():
        found += places(inner, (*path, key))
    return found


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**40, max_value=10**60)
    | st.floats()
    | st.text(max_size=30)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


class NoAliases(yaml.SafeDumper):
    """Writes equal values out twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(places(DOCUMENT)), junk)
def test_whatever_stands_in_a_field_loads_or_is_refused_in_short_lines(path, value):
    document = copy.deepcopy(DOCUMENT)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert_loads_or_refuses(yaml.dump(document, Dumper=NoAliases))


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=len(TEXT)), st.text(max_size=6), st.integers(0, 12))
def test_whatever_is_typed_into_a_file_loads_or_is_refused_in_short_lines(place, typed, deleted):
    assert_loads_or_refuses(TEXT[:place] + typed + TEXT[place + deleted :])


def assert_loads_or_refuses(text: str) -> None:
    try:
        contract = parse_contract(text, URDF, "robot.yaml")
    except ContractError as error:
        lines = str(error).splitlines()
        assert len(lines) <= 11
        assert all(line.startswith("robot.yaml: ") and len(line) < LONGEST_LINE for line in lines)
    else:
        require_same_contract(contract, parse_contract(text, contract.urdf, "again"), "again")
