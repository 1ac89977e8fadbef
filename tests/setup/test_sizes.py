"""What CONTRIBUTING.md says of the sizes of functions, classes and files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
SOURCES = CLONE / "ros2_ws" / "src"
LONGEST = {ast.FunctionDef: 50, ast.AsyncFunctionDef: 50, ast.ClassDef: 250}
LONGEST_FILE = 400
A_LOOP_THAT_READS_FROM_TOP_TO_BOTTOM = {"train.py: train"}


@pytest.mark.parametrize("package", ["mivla_drivers", "mivla_policy", "mivla_bringup"])
def test_no_function_class_or_file_is_longer_than_the_page_says(package):
    files = sorted((SOURCES / package / package).rglob("*.py"))
    assert files
    long = []
    for path in files:
        text = path.read_text()
        if text.count("\n") > LONGEST_FILE:
            long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            size = node.end_lineno - node.lineno + 1 if type(node) in LONGEST else 0
            if size > LONGEST.get(type(node), 0):
                long.append(f"{path.name}: {node.name}")
    assert set(long) <= A_LOOP_THAT_READS_FROM_TOP_TO_BOTTOM


def test_the_page_names_the_same_numbers():
    page = (CLONE / "CONTRIBUTING.md").read_text()
    for size in (f"{LONGEST[ast.FunctionDef]} lines", str(LONGEST[ast.ClassDef]), str(LONGEST_FILE)):
        assert size in page
