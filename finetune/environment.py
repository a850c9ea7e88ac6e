"""Where a run happened: recorded for whoever asks why a figure moved, part of no digest that must repeat."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tunegate_core.records import Environment

PACKAGES = (
    "tunegate", "torch", "transformers", "peft", "trl", "accelerate", "datasets", "ray", "tokenizers", "safetensors",
)  # fmt: skip


def environment() -> Environment:
    """This process's environment."""
    import torch

    commit = _git("rev-parse", "HEAD")
    return Environment(
        python=sys.version.split()[0],
        packages={name: found for name in PACKAGES if (found := _version(name))},
        machine=f"{platform.system()} {platform.machine()} {_processor()}".strip(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerators=tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())),
        git_commit=commit,
        git_dirty=None if commit is None else bool(_git("status", "--porcelain")),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name on Linux; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _git(*args: str) -> str | None:
    """What git says about the source this runs from; None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", *args], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
