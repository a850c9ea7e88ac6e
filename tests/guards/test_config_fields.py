"""A key that nobody reads is a promise that nobody keeps: every field of the config is read somewhere."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from tunegate_core.config import schema
from tunegate_core.config.schema import Block

DEFINITION = "tunegate_core/config/schema.py"


def test_every_field_is_read(sources: Sequence[Any]) -> None:
    read = {name for source in sources if source.name != DEFINITION for name in names_read(source.tree)}
    # What the schema itself makes of its fields (Config.route) counts when that is read.
    read |= {"serving", "route"} if "route" in read else set()
    unread = [f"{block.__name__}.{field}" for block in blocks() for field in block.model_fields if field not in read]
    assert not unread, f"fields of the config that no code reads: {unread}"


def test_every_field_says_what_it_is() -> None:
    leaves = [(block, name, field) for block in blocks() for name, field in block.model_fields.items()]
    silent = [
        f"{block.__name__}.{name}"
        for block, name, field in leaves
        if not field.description and not any(other.__name__ in str(field.annotation) for other in blocks())
    ]
    assert not silent, f"fields without a description: {silent}"


def names_read(tree: ast.Module) -> Iterator[str]:
    """`x.name`, and `x["name"]` where a block was handed over as JSON."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)


def blocks() -> list[type[Block]]:
    """Every block of the config."""
    found = [item for item in vars(schema).values() if isinstance(item, type) and issubclass(item, Block)]
    return [item for item in found if item is not Block]
