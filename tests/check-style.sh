#!/usr/bin/env bash
# Is every source laid out as .clang-format says? With --fix, makes it so. Does nothing where clang-format is not installed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v clang-format >/dev/null; then
  echo "clang-format is not installed: layout not checked" >&2
  exit 0
fi
mode=(--dry-run -Werror)
if [[ ${1:-} == --fix ]]; then
  mode=(-i)
fi
find model sim tests -name '*.[ch]pp' -print0 | xargs -0 clang-format "${mode[@]}"
