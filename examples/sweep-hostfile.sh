#!/usr/bin/env bash
# A sweep on machines that are listed in a file ("host1 slots=32" a line) and share this folder.
#   examples/sweep-hostfile.sh hostfile
set -euo pipefail
hostfile=${1:?the file that lists the machines}
ranks=$(awk '{ for (i = 2; i <= NF; ++i) if (split($i, part, "=") == 2 && part[1] == "slots") sum += part[2] } END { print sum }' "$hostfile")
exec mpirun --hostfile "$hostfile" -np "$ranks" shardsim sweep examples/sweep-llama-2-7b.yaml -o points.sqlite --threads 1
