"""A YAML file becomes a checked config, or one error that lists every problem.

Each problem names its path in the file, the line, what was found and the nearest known key. Keys given twice are
refused (YAML would silently keep the last), and so are aliases (a few lines of them can stand for gigabytes).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tunegate_core.config.schema import AdapterSource, Config, FinetuneBlock
from tunegate_core.errors import BadInput, ConfigError
from tunegate_core.registry import nearest

Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]

PATH_FIELDS = (
    ("finetune", "base", "model"),
    ("finetune", "base", "chat_template"),
    ("finetune", "data", "source"),
    ("finetune", "data", "augment", "counterfactual"),
    ("governance", "policy"),
)
TASK_PATH_FIELDS = ("questions", "task_yaml", "labels", "feedback", "planted", "paraphrases")

EXPECTED = {  # pydantic's words for a type, in the words of a YAML file
    "model_type": "expected a mapping of keys",
    "model_attributes_type": "expected a mapping of keys",
    "tuple_type": "expected a list",
    "string_type": "expected text (put it in quotes)",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values, as editors read them: `on` and `yes` are text, `2e-4` is a number, dates are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (the base class declares it so)
        first: [
            (tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in ("bool", "float", "timestamp")
        ]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; aliases are refused."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read; write the value out", mark)
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?i:true|false)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?i:inf)|\.(?i:nan))$"),
    list("-+.0123456789"),
)


def load_config(path: Path) -> Config:
    """Read, check and resolve a config file: file paths in it become absolute. Raises ConfigError."""
    raw, lines = load_yaml(path, ConfigError)
    config = validate(Config, raw, lines, path, ConfigError)
    return _resolve_paths(config, path.resolve().parent)


def load_yaml(path: Path, error: type[BadInput]) -> tuple[Any, dict[Path_, int]]:
    """The YAML value in a file and the line of every key. Raises `error` for anything unreadable."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as cause:
        raise error(f"{path}: no such file") from cause
    except UnicodeDecodeError as cause:
        line = cause.object[: cause.start].count(b"\n") + 1
        raise error(f"{path}, line {line}: not UTF-8 text (byte {cause.object[cause.start]:#04x})") from cause
    except OSError as cause:
        raise error(f"{path}: can't be read: {cause.strerror}") from cause
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError) as cause:
        raise error(f"{path}: not valid YAML: {cause}") from cause
    except (LookupError, AttributeError) as cause:  # what PyYAML makes of `!!int ''`, `!!bool x` and `!!timestamp x`
        raise error(f"{path}: not valid YAML: a tag does not fit its value") from cause
    except RecursionError as cause:
        raise error(f"{path}: not a config: its lists and mappings are nested too deeply") from cause
    lines: dict[Path_, int] = {}
    twice = [f"{path}, line {line}: {dotted(key)} is given twice" for key, line in _walk(node, (), lines)]
    if twice:
        raise error("\n".join(twice))
    return value, lines


def validate(model: type[Model], raw: Any, lines: dict[Path_, int], path: Path, error: type[BadInput]) -> Model:
    """`raw` as a `model`. Raises `error` with one line per problem: file, line, path, what was found, what fits."""
    if raw is None:
        raise error(f"{path}: the file is empty; expected a mapping of keys")
    if not isinstance(raw, dict):
        raise error(f"{path}: expected a mapping of keys at the top, found {type(raw).__name__}")
    try:
        return model.model_validate(raw)
    except ValidationError as cause:
        problems = [_problem(model, item, raw, lines, path) for item in _telling(cause)]
        raise error("\n".join(dict.fromkeys(problems))) from cause


def dotted(path: Path_) -> str:
    """`("eval", "tasks", 0, "name")` as `eval.tasks[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _walk(node: yaml.Node | None, path: Path_, lines: dict[Path_, int]) -> Iterator[tuple[Path_, int]]:
    """Fill `lines`; yield every key that is given twice, with its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                yield here, line
            lines[here] = line
            yield from _walk(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            yield from _walk(value, (*path, index), lines)


def _problem(model: type[BaseModel], item: Any, raw: Any, lines: dict[Path_, int], path: Path) -> str:
    where = tuple(part for part in item["loc"] if part in _keys(raw, item["loc"]) or not _is_branch(part))
    if item["type"] == "invalid_key":
        where = (*where[:-1], str(where[-1]))
    line = next((lines[where[:length]] for length in range(len(where), -1, -1) if where[:length] in lines), 1)
    if item["type"] == "extra_forbidden":
        hint = nearest(str(where[-1]), _known_keys(model, where[:-1], item["loc"]))
        return f"{path}, line {line}: unknown key {dotted(where)}{hint}"
    if item["type"] == "missing":
        return f"{path}, line {line}: {dotted(where)} is missing"
    message = EXPECTED.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
    found = "" if isinstance(item["input"], dict | list) else f"; found {item['input']!r}"
    return f"{path}, line {line}: {dotted(where) or 'config'}: {message}{found}"


def _telling(error: ValidationError) -> list[Any]:
    """The errors without those that only follow from an error further in (a list short of its wrong items)."""
    items = error.errors(include_url=False)
    inner = {item["loc"][:length] for item in items for length in range(len(item["loc"]))}
    return [item for item in items if item["type"] != "too_short" or item["loc"] not in inner]


def _is_branch(part: str | int) -> bool:
    """Whether a step of pydantic's location names a branch of a union (a type), not a key of the file."""
    names = ("str", "int", "float", "constrained-int")
    return isinstance(part, str) and (part[:1].isupper() or "[" in part or part in names)


def _keys(raw: Any, loc: Path_) -> set[str | int]:
    """Every key or index that occurs along `loc` in the raw value."""
    found: set[str | int] = set()
    for part in loc:
        is_item = isinstance(raw, list) and isinstance(part, int) and part < len(raw)
        if is_item or (isinstance(raw, dict) and part in raw):
            found.add(part)
            raw = raw[part]
    return found


def _known_keys(model: type[BaseModel], where: Path_, loc: Path_) -> list[str]:
    """The keys that fit at `where`; `loc` tells which branch of a union was meant."""
    models = [model]
    for part in where:
        if isinstance(part, str):
            models = [
                inner
                for outer in models
                if part in outer.model_fields
                for inner in _models_in(outer.model_fields[part].annotation)
            ]
    meant = [inner for inner in models if inner.__name__ in loc] or models
    return [key for inner in meant for key in inner.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _resolve_paths(config: Config, folder: Path) -> Config:
    raw = config.model_dump()
    for *parents, key in PATH_FIELDS:
        block = raw
        for parent in parents:
            block = block.get(parent) or {}
        if block.get(key) is not None:
            block[key] = _resolve(block[key], folder, optional=key == "model")
    for task in raw["eval"]["tasks"]:
        for key in TASK_PATH_FIELDS:
            if task[key] is not None:
                task[key] = _resolve(task[key], folder, optional=False)
    source = AdapterSource if isinstance(config.finetune, AdapterSource) else FinetuneBlock
    return Config.model_validate({**raw, "finetune": source.model_validate(raw["finetune"])})


def _resolve(text: str, folder: Path, optional: bool) -> str:
    """An absolute path; a hub name or URL stays as it is where no such file exists (`optional`)."""
    if "://" in text:
        return text
    path = folder / Path(text).expanduser()
    looks_local = text.startswith((".", "/", "~")) or path.exists()
    return str(path.resolve()) if looks_local or not optional else text
