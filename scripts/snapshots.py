"""Write again what is made from the code, so that it can be read in a change: schemas, README's help, the verbs.

`tests/guards/test_snapshots.py` fails where one of them is not current; `make snapshots` writes them.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HELP_BLOCK = re.compile(r"(<!-- help -->\n```\n)(.*?)(```\n<!-- /help -->)", re.DOTALL)


def schema(old: str) -> str:
    """The JSON Schema of a config, for editors."""
    from tunegate_core.config import json_schema

    return json.dumps(json_schema(), indent=2) + "\n"


def description(old: str) -> str:
    """The endpoint as OpenAPI."""
    from serving.description import describe

    return json.dumps(describe(), indent=1) + "\n"


def surface(old: str) -> str:
    """Every verb with its arguments and options, one a line."""
    from typer.main import get_command

    from tunegate.cli import app

    return "\n".join(_verbs(get_command(app), "tunegate")) + "\n"


def readme(old: str) -> str:
    """README with the help that the program prints."""
    command = [sys.executable, "-m", "tunegate", "--help"]
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    lines = [line.rstrip().replace("python -m tunegate", "tunegate") for line in printed.strip().splitlines()]
    text = "\n".join(lines) + "\n"
    return HELP_BLOCK.sub(lambda found: found[1] + text + found[3], old)


SNAPSHOTS: dict[str, Callable[[str], str]] = {
    "configs/tunegate.schema.json": schema,
    "docs/openapi.json": description,
    "tests/guards/cli.txt": surface,
    "README.md": readme,
}


def _verbs(command: Any, name: str) -> Iterator[str]:
    commands = getattr(command, "commands", None)
    if commands is not None:
        for verb in sorted(commands):
            yield from _verbs(commands[verb], f"{name} {verb}")
        return
    parameters = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    yield " ".join([name, *sorted(parameters)])


def _parameter(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    shown = "/".join(parameter.opts) if is_option else parameter.metavar or parameter.name.upper()
    return shown if parameter.required else f"[{shown}]"


def main() -> None:
    """Write every snapshot that is not current."""
    for name, render in SNAPSHOTS.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = render(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
