#!/usr/bin/env bash
# Makes the virtual environment that the programs here run in: tests/oracle/setup.sh [FOLDER], by default build/oracle.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$here/../../build/oracle}
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet setuptools wheel
"$folder/bin/pip" install --quiet -r "$here/requirements.txt"
"$folder/bin/python" -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
