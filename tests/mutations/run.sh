#!/usr/bin/env bash
# Breaks the laws of mutations.txt one after the other, in a copy of the tree, and shows which test fails for each.
#   tests/mutations/run.sh [WORD]     those whose law has the word; without one, all
# Exit status 0: every one was caught.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$root" ls-files -z | (cd "$root" && xargs -0 cp --parents -t "$copy" 2>/dev/null || true)
cd "$copy"
cmake --preset release > /dev/null

build() { cmake --build build/release --target "test_$1" > "$copy/build.log" 2>&1; }

# The text has slashes, stars and brackets: it is taken as it stands.
replace() { FROM=$2 TO=$3 perl -0pi -e 's/\Q$ENV{FROM}\E/$ENV{TO}/' "$1"; }

survived=0
try() {
  [[ $law == *"${word}"* ]] || return 0
  if [[ $(grep -cF -- "$from" "$file") != 1 ]]; then
    echo "STALE     $law ($file)"
    survived=1
    return 0
  fi
  build "$test" || { echo "NOT BUILT $law (before it was broken)"; tail -3 "$copy/build.log"; survived=1; return 0; }
  replace "$file" "$from" "$to"
  if ! build "$test"; then
    echo "NOT BUILT $law"
    tail -3 "$copy/build.log"
    survived=1
  elif timeout 600 "build/release/tests/test_$test" > "$copy/test.log" 2>&1; then
    echo "SURVIVED  $law (test_$test)"
    survived=1
  else
    echo "caught    $law (test_$test: $(grep -c 'FAILED:' "$copy/test.log" || true) failures)"
  fi
  cp "$root/$file" "$file"
}

word=${1:-}
law='' file='' from='' to='' test=''
while IFS= read -r line || [[ -n $line ]]; do
  case $line in
    'law: '*) law=${line#law: } ;;
    'file: '*) file=${line#file: } ;;
    'from: '*) from=${line#from: } ;;
    'to: '*) to=${line#to: } ;;
    'test: '*) test=${line#test: }; try ;;
  esac
done < "$root/tests/mutations/mutations.txt"
exit "$survived"
