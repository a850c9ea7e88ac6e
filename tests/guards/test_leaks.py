"""Nothing in the repository names a path or a registry of the machine it was written on."""

import re
from collections.abc import Sequence
from pathlib import Path

FOLDERS = re.compile(r"(?<![\w.$}])/(" + "|".join(["work", "root"]) + r")(/|\b(?!-))")
HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry", "npmjs"),
            ("deb", "debian"),
            ("proxy", "golang"),
        ]
    )
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".jsonl", ".txt", ".sh", ".svg", ".mako", ".ini", ".jinja", ""}


def test_no_paths_of_a_machine(published: Sequence[Path], repository: Path) -> None:
    assert not (found := list(matching(FOLDERS, published, repository))), found


def test_no_registry_hosts(published: Sequence[Path], repository: Path) -> None:
    assert not (found := list(matching(HOSTS, published, repository))), found


def test_no_secrets(published: Sequence[Path]) -> None:
    """A header alone may stand in a test; one with a key behind it may not."""
    private = re.compile("-----BEGIN [A-Z ]*" + r"PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")
    texts = {path: path.read_text(encoding="utf-8") for path in published if path.suffix in {*TEXT, ".pem", ".key"}}
    assert not (found := [path.name for path, text in texts.items() if private.search(text)]), found


def matching(pattern: re.Pattern[str], paths: Sequence[Path], root: Path) -> list[str]:
    """`file:line` of every match in a text file."""
    found = []
    for path in paths:
        if path.suffix not in TEXT:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(root)}:{number}")
    return found
