#!/usr/bin/env bash
# Fuzzes every reader for so many seconds, two at a time, from where the last time ended.
#   tests/fuzz/long.sh [SECONDS] [READER...]     60, and all
# What they find lies in build/fuzz/found/READER-*; an input that broke a reader goes into tests/fuzz/regressions/READER/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
[[ $# -gt 0 ]] && shift
cmake --preset fuzz > /dev/null
cmake --build build/fuzz --target fuzz
mkdir -p build/fuzz/found build/fuzz/corpus

readers=("$@")
if [[ ${#readers[@]} -eq 0 ]]; then
  for source in tests/fuzz/readers/*.cpp; do readers+=("$(basename "$source" .cpp)"); done
fi
printf '%s\n' "${readers[@]}" | SECONDS_EACH=$seconds xargs -P 2 -I{} bash -c '
  mkdir -p "build/fuzz/corpus/{}"
  build/fuzz/tests/fuzz --reader={} -max_total_time="$SECONDS_EACH" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/found/{}-" "build/fuzz/corpus/{}" > "build/fuzz/found/{}.log" 2>&1
  broke=$?
  runs=$(sed -n "s/stat::number_of_executed_units: //p" "build/fuzz/found/{}.log")
  echo "{}: ${runs:-no} runs, $([[ $broke -eq 0 ]] && echo nothing found || echo "found something, build/fuzz/found/{}.log")"
  exit $((broke == 0 ? 0 : 1))'
