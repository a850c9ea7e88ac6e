"""Where CI is set, a test of a real part that skips itself is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.vllm
def test_part():
    pytest.skip("no vllm here")

@pytest.mark.slow
@pytest.mark.skipif(True, reason="not today")
def test_slow():
    pass

@pytest.mark.postgres
@pytest.mark.xfail(strict=True)
def test_known():
    assert False

@pytest.mark.gpu
@pytest.mark.slow
def test_gpu():
    pytest.skip("no GPU here")

def test_plain():
    pytest.skip("no data here")
"""
WHOLE = "import pytest\npytest.importorskip('no_such_library')\n"


@pytest.mark.parametrize(
    ("in_ci", "summary"),
    [
        (True, {"1 failed", "2 skipped", "1 xfailed", "2 errors"}),  # a skip before the test is an error of its set-up
        (False, {"5 skipped", "1 xfailed"}),
    ],
    ids=["in CI", "elsewhere"],
)
def test_skips_of_real_parts_fail_in_ci(in_ci: bool, summary: set[str], tmp_path: Path, repository: Path) -> None:
    (tmp_path / "conftest.py").write_text((repository / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "test_whole.py").write_text(WHOLE)
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "TUNEGATE_CI")}
    environment |= {"CI": "true"} if in_ci else {}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        str(repository / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
    ]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--continue-on-collection-errors", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    last = ran.stdout.splitlines()[-1]
    assert set(last.split(" in ")[0].strip("= ").split(", ")) == summary, ran.stdout
