"""What is made from the code is current: JSON Schema, the list of verbs, README's help."""

import runpy
from pathlib import Path

import pytest

from tunegate_core.config import json_schema

SNAPSHOTS = ("configs/tunegate.schema.json", "docs/openapi.json", "tests/guards/cli.txt", "README.md")


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshot_is_current(name: str, repository: Path) -> None:
    made = runpy.run_path(str(repository / "scripts" / "snapshots.py"))["SNAPSHOTS"]
    assert set(made) == set(SNAPSHOTS)
    text = (repository / name).read_text(encoding="utf-8")
    assert made[name](text) == text, f"{name} is not current; look at the change, then run 'make snapshots'"


def test_readme_has_a_help_block(repository: Path) -> None:
    assert "<!-- help -->" in (repository / "README.md").read_text(encoding="utf-8")


def test_the_schema_is_a_schema_and_takes_the_examples(repository: Path) -> None:
    import jsonschema
    import yaml

    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    for path in sorted((repository / "configs").glob("*.yaml")):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "finetune" in config:
            assert not [error.message for error in validator.iter_errors(config)], path.name
