"""The files that `tunegate init` writes: a config, a small data set, questions and a policy that run as they are."""

import json
from importlib.resources import files
from pathlib import Path

from tunegate_core.config import json_schema
from tunegate_core.errors import BadInput

FILES = ("config.yaml", "train.jsonl", "questions.jsonl", "policy.yaml")
SCHEMA = "tunegate.schema.json"  # editors complete the config's keys by it


def write_starter(folder: Path) -> str:
    """Write the starter files; nothing that exists is overwritten. Returns what to do next."""
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise BadInput(f"{folder} holds {', '.join(taken)} already; expected a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes(files(__name__).joinpath(name).read_bytes())
    (folder / SCHEMA).write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    config, wrote = folder / "config.yaml", ", ".join((*FILES, SCHEMA))
    return f"wrote {wrote} to {folder}\nnext: tunegate check {config}\nthen: tunegate release {config}"
