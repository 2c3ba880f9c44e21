#!/usr/bin/env bash
# Installs what shardsim is built with, where it is missing: Debian 12 and its relatives, nothing but their packages.
#   examples/install-dependencies.sh           what the program needs
#   examples/install-dependencies.sh --tests   and what its tests need
set -euo pipefail

packages=(g++ cmake ninja-build libboost-graph-dev libboost-program-options-dev nlohmann-json3-dev libyaml-cpp-dev libfmt-dev
          libsqlite3-dev libopenmpi-dev openmpi-bin libexpat1-dev libhwloc-dev zlib1g-dev libprotozero-dev libjs-vega help2man)
if [[ ${1:-} == --tests ]]; then
  packages+=(catch2 librapidcheck-dev libsimgrid-dev chromium chromium-driver python3 fonts-dejavu-core zsh fish
             clang libclang-rt-dev libomp-dev llvm)
fi

if ! command -v dpkg-query >/dev/null; then
  echo "not a Debian system: shardsim needs the equivalents of ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || state=absent
  [[ $state == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "missing, and neither root nor sudo to install them: ${missing[*]}" >&2
    exit 2
  fi
  as_root=(sudo)
fi
echo "installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -q >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
