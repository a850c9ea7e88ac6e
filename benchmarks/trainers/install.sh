#!/usr/bin/env bash
# install.sh FOLDER REQUIREMENT: an environment in FOLDER with a peer of the training benchmark, on the same PyTorch.
set -euo pipefail
cd "$(dirname "$0")/../.."
place=$1

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
. scripts/uv-settings.sh

rm -rf "$place"
.venv/bin/uv venv --quiet --python .venv/bin/python "$place"
torch=$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version("torch"))')
{
    echo "torch==$torch"
    echo 'torchvision ; sys_platform == "never"'
    echo 'torchaudio ; sys_platform == "never"'
} >"$place/overrides.txt"
.venv/bin/uv --no-config pip install --quiet --python "$place/bin/python" --index-strategy unsafe-best-match \
    --override "$place/overrides.txt" "$2"
echo ready >"$place/ready"
