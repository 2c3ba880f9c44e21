#!/usr/bin/env bash
# Which lines of sim/ and model/ the tests come to. Builds once more, with GCC's counters, into build/coverage, runs all
# tests, and prints a line a file with what is uncovered (gcovr, from Debian).
#   tests/coverage.sh [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v gcovr > /dev/null || { echo "tests/coverage.sh: needs gcovr (apt-get install gcovr)" >&2; exit 1; }

cmake -S . -B build/coverage -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS='--coverage -O1' > /dev/null
cmake --build build/coverage
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage --output-on-failure -j2 "$@"
# A throw is no branch of ours, and a check that never fails is not meant to be covered.
gcovr --gcov-ignore-parse-errors --root . --filter sim/ --filter model/ --exclude-throw-branches --exclude-lines-by-pattern '.*SHARDSIM_CHECK.*' \
  build/coverage
