"""Plug-ins by name: one file and one registration; the file's name is the name used in YAML.

`load("eval.tasks", "questions")` imports `eval/tasks/questions.py` and returns its `PLUGIN`. Only the plug-in asked
for is imported, so a light command stays light and one broken plug-in breaks only itself.
"""

import difflib
import importlib
import importlib.util
import pkgutil
from typing import Any

from tunegate_core.errors import BadInput


def names(package: str) -> list[str]:
    """The plug-ins of a package, from its files, without importing any of them."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise BadInput(f"'{package}' is no package of plug-ins")
    return sorted(module.name for module in pkgutil.iter_modules(list(spec.submodule_search_locations)))


def load(package: str, name: str) -> Any:
    """The `PLUGIN` of one file. Raises BadInput with the nearest name when there is no such file."""
    known = names(package)
    if name not in known:
        raise BadInput(f"no {package} plug-in is named '{name}'{nearest(name, known)}; there are: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}").PLUGIN


def nearest(name: str, known: list[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known name is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""
