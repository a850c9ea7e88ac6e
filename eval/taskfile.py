"""A task YAML of lm-evaluation-harness as plain data that says all it needs: files included, data files found.

What it needs can be packed into one folder and read again anywhere. So whatever reaches further is refused: Python
functions (`!function` imports more than a digest could cover), and folders of data that are not named file by file.
"""

import glob
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tunegate_core.errors import BadInput, DataError

PACKED = "task.yaml"
DATA = "data"


class _Loader(yaml.SafeLoader):
    """The harness's YAML without its functions."""


def _refuse_function(loader: _Loader, node: yaml.Node) -> None:
    line = node.start_mark.line + 1
    raise BadInput(
        f"line {line}: '!function {node.value}' would run Python that is not frozen with the items; write it as a "
        "Jinja template, put what it computes into the data, or use one of the harness's own tasks by its name"
    )


_Loader.add_constructor("!function", _refuse_function)


def read_task(path: Path) -> dict[str, Any]:
    """The task's settings, with those of included files under its own and data files by their absolute paths.

    Paths are relative to the file that names them; a pattern stands for its files, sorted. Raises DataError for a file
    that is not there, BadInput for what can't be packed.
    """
    config = _read(path.resolve(), ())
    where, arguments = str(config.get("dataset_path")), config.get("dataset_kwargs") or {}
    is_folder = "data_files" not in arguments and any(Path(here, where).is_dir() for here in (".", path.parent))
    if is_folder or where.endswith(".py"):
        raise BadInput(f"{path}: dataset_path is {where!r}; name each file under dataset_kwargs.data_files instead")
    if "data_dir" in arguments:
        raise BadInput(f"{path}: dataset_kwargs.data_dir is not read; name each file under dataset_kwargs.data_files")
    if ".yaml:" in str(config.get("use_prompt")):
        raise BadInput(f"{path}: use_prompt names a file; write the prompt out under doc_to_text")
    return config


def pack(path: Path, folder: Path) -> Path:
    """Write the task and its data files into `folder`, so that it needs nothing else; return its YAML there."""
    config = read_task(path)
    taken: list[Path] = []

    def copied(name: str) -> str:
        if "://" in name:
            return name
        (folder / DATA).mkdir(exist_ok=True)
        taken.append(Path(name))
        target = f"{DATA}/{len(taken)}{''.join(Path(name).suffixes)}"  # what `datasets` unpacks it by
        shutil.copyfile(name, folder / target)
        return target

    text = yaml.safe_dump(_with_files(config, copied), allow_unicode=True, sort_keys=True)
    (folder / PACKED).write_text(text, encoding="utf-8")
    return folder / PACKED


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path in above:
        raise BadInput(f"{path}: the file includes itself, by way of {', '.join(str(other) for other in above)}")
    config = _parse(path)
    included = config.pop("include", [])
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        part = _read((path.parent / str(name)).resolve(), (*above, path))
        part.pop("task_list", None)
        merged |= part
    return merged | _with_files(config, lambda name: _located(name, path))


def _parse(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_bytes(), _Loader)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a task YAML of lm-evaluation-harness") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not valid YAML: {error}") from error
    except BadInput as error:
        raise BadInput(f"{path}, {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{path}: expected a mapping of keys, found {type(config).__name__}")
    return config


def _with_files(config: dict[str, Any], change: Callable[[str], str | list[str]]) -> dict[str, Any]:
    """The settings with every data file changed."""
    arguments = config.get("dataset_kwargs") or {}
    if "data_files" not in arguments:
        return config
    return {**config, "dataset_kwargs": {**arguments, "data_files": _each(arguments["data_files"], change)}}


def _each(files: Any, change: Callable[[str], str | list[str]]) -> Any:
    if isinstance(files, dict):
        return {split: _each(part, change) for split, part in files.items()}
    if isinstance(files, list):
        found = [change(str(name)) for name in files]
        return [name for part in found for name in (part if isinstance(part, list) else [part])]
    return change(str(files))


def _located(name: str, path: Path) -> str | list[str]:
    if "://" in name:
        return name
    whole = path.parent / name
    if whole.is_file():
        return str(whole)
    matching = sorted(found for found in glob.glob(str(whole), recursive=True) if Path(found).is_file())
    if not matching:
        raise DataError(f"{path}: its data file {whole} does not exist")
    return matching
