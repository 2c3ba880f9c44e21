#!/usr/bin/env bash
# Replays traces through PyTorch's own caching allocator, without a GPU, and writes what it then holds:
#   tests/oracle/allocator/record.sh [FOLDER]
# FOLDER (by default build/allocator) takes PyTorch's CUDA wheel (500 MB) and CUDA's headers. Needs pip, unzip, g++ and
# build/release/tests/oracle_plan_traces.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
folder=${1:-$root/build/allocator}
mkdir -p "$folder"
cd "$folder"

if [ ! -e torch/lib/libc10_cuda.so ]; then
  # --isolated: from where pip looks by itself; a CPU build of PyTorch has no allocator for CUDA.
  python3 -m pip download --isolated --quiet --no-deps -d wheels \
    torch==2.13.0 'nvidia-cuda-runtime==13.*' 'nvidia-cuda-crt==13.*'
  unzip -q -o 'wheels/torch-*.whl' 'torch/lib/libc10*' 'torch/include/c10/*' 'torch/include/torch/headeronly/*'
  unzip -q -o 'wheels/nvidia_cuda_runtime-*.whl'
  unzip -q -o 'wheels/nvidia_cuda_crt-*.whl'
fi

flags=(-std=c++20 -O1 -I"$root" -Invidia/cu13/include -Itorch/include)
echo 'libcudart.so.13 { global: *; };' > versions
g++ "${flags[@]}" -fPIC -shared "$here/fake_cuda.cpp" -o libcudart.so.13 -Wl,-soname,libcudart.so.13 \
  -Wl,--version-script=versions -ldl
g++ "${flags[@]}" "$here/replay.cpp" -o replay -Ltorch/lib -lc10 -lc10_cuda -L. -l:libcudart.so.13 \
  -Wl,-rpath,"$folder/torch/lib:$folder"

# The allocator's log says when memory ran short.
python3 "$here/random_traces.py" | ./replay > "$root/tests/oracle/data/allocator_random.trace" 2> random.log
"$root/build/release/tests/oracle_plan_traces" | ./replay > "$root/tests/oracle/data/allocator_plans.trace" 2> plans.log
