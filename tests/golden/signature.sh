#!/usr/bin/env bash
# One line for all goldens, the same for any compiler, optimization, thread and machine: what a build says of every
# example, as JSON, and of the ten questions, as one checksum. tests/golden/signature keeps it.
#   tests/golden/signature.sh [PROGRAM]
#   tests/golden/signature.sh --each [PROGRAM]       a checksum an answer, to see which differ between two builds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

each=
if [[ ${1:-} == --each ]]; then
  each=yes
  shift
fi
program=$(realpath "${1:-build/release/shardsim}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What does not fit exits with 1, and its report counts as well.
answer() {
  "$program" "$@" || (($? == 1))
}

answers() {
  local example command sum
  while read -r example; do
    sum=$(answer --config "$example" --format json -q | sha256sum)
    echo "${sum%% *} $example"
  done < <(find examples -name '*.conf' | LC_ALL=C sort)
  while read -r command; do
    # shellcheck disable=SC2086  # its words are the program's
    sum=$(answer ${command/ -o / -q -o $scratch/} 2>/dev/null | sha256sum)
    echo "${sum%% *} $command"
  done < <(grep -o '`shardsim [^`]*`' examples/questions.md | tr -d '`' | cut -d ' ' -f 2-)
  sum=$(cat "$scratch"/*.jsonl | sha256sum)
  echo "${sum%% *} the sweep's points"
}

if [[ -n $each ]]; then
  answers
else
  answers | sha256sum | cut -d ' ' -f 1
fi
