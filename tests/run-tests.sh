#!/usr/bin/env bash
# Installs what is missing, builds everything in build/release and runs all tests. Arguments are ctest's (-R engine), and
# with them that is all; without, the sanitizers and fuzzers follow, built by Clang in build/fuzz and build/tsan.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
examples/install-dependencies.sh --tests
cmake --preset release -DSHARDSIM_TESTS=ON >/dev/null
cmake --build --preset release
ctest --preset release "$@"
if [[ $# -gt 0 ]]; then
  exit 0
fi

for preset in fuzz tsan; do
  echo "$preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset"
  ctest --preset "$preset"
done
