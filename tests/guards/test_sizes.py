"""Small files, small functions, shallow nesting: a reader holds one thing in mind at a time."""

import ast
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

FILE_LINES = 500
MEDIAN_FILE_LINES = 150
FUNCTION_LINES = 80
USUAL_FUNCTION_LINES = 60
SHARE_ABOVE_USUAL = 0.02
NESTING = 3

BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
SEPARATE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def test_files_are_short(sources: Sequence[Any]) -> None:
    lines = {source.name: len(source.text.splitlines()) for source in sources}
    long = {name: count for name, count in lines.items() if count >= FILE_LINES}
    assert not long, f"files of {FILE_LINES} lines or more: {long}"
    told = [count for count in lines.values() if count > 1]
    assert statistics.median(told) <= MEDIAN_FILE_LINES


def test_functions_are_short(sources: Sequence[Any]) -> None:
    lengths = {
        f"{source.name}:{function.lineno} {function.name}": length(function)
        for source in sources
        for function in source.functions()
    }
    long = {name: lines for name, lines in lengths.items() if lines >= FUNCTION_LINES}
    assert not long, f"functions of {FUNCTION_LINES} lines or more: {long}"
    unusual = {name: lines for name, lines in lengths.items() if lines > USUAL_FUNCTION_LINES}
    assert len(unusual) <= SHARE_ABOVE_USUAL * len(lengths), f"too many above {USUAL_FUNCTION_LINES} lines: {unusual}"


def test_nesting_is_shallow(sources: Sequence[Any]) -> None:
    deep = {
        f"{source.name}:{function.lineno} {function.name}": depth(function)
        for source in sources
        for function in source.functions()
        if depth(function) > NESTING
    }
    assert not deep, f"functions nested deeper than {NESTING}: {deep}"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the def to the end."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def depth(node: ast.AST) -> int:
    """How deep blocks lie in one another; `elif` is as deep as its `if`."""
    return max((depth(child) + step for child, step in inside(node)), default=0)


def inside(node: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """The children of a node, and whether each opens a block."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SEPARATE):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        yield child, int(isinstance(child, BLOCKS) and not is_elif)
