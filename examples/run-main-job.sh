#!/usr/bin/env bash
# Does Llama 2 7B train on four A100s with ZeRO-3 and everything offloaded that can be, and how long is a step?
# Installs what is missing, builds build/release/shardsim and runs it; further arguments are shardsim's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/examples/install-dependencies.sh"
(
  cd "$root"
  cmake --preset release -DSHARDSIM_TESTS=OFF >/dev/null
  cmake --build --preset release --target shardsim
) >&2

exec "$root/build/release/shardsim" --topology 4xA100 --strategy zero3-offload "$@"
