#!/usr/bin/env bash
# Installs what is missing, builds everything in build/release and runs all tests; arguments are ctest's (-R engine).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
examples/install-dependencies.sh --tests
cmake --preset release -DSHARDSIM_TESTS=ON >/dev/null
cmake --build --preset release
ctest --preset release "$@"
