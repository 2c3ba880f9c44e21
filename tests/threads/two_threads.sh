#!/usr/bin/env bash
# All that runs on several threads, on two: built with the thread sanitizer, a race is an error; in any build the results
# are those of one thread. Its argument is the program.
set -euo pipefail

program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/spec.yaml" <<'SPEC'
base: {model: gpt2, topology: 4xA100, seq-len: 256}
axes:
  strategy: [zero2, zero3, fsdp]
  micro-batch: [1, 2, 3, 4]
  checkpointing: [none, full]
SPEC
cat >"$folder/runs.csv" <<'RUNS'
id,source,trust,topology,model,strategy,seq-len,micro-batch,measured_used_bytes
a,here,low,1xA100,gpt2,single,256,1,3000000000
b,here,low,2xA100,gpt2,ddp,256,2,3000000000
c,here,low,2xA100,gpt2,zero3,256,1,3000000000
d,here,low,2xA100,gpt2,fsdp,256,4,3000000000
RUNS

same() {
  cmp "$folder/1.$1" "$folder/2.$1" || { echo "$1: one thread and two differ" >&2 && exit 1; }
}
for threads in 1 2; do
  "$program" sweep "$folder/spec.yaml" -o "$folder/$threads.jsonl" --threads $threads -q >/dev/null
  "$program" validate "$folder/runs.csv" --format json --threads $threads >"$folder/$threads.json"
  "$program" plan --model gpt2 --tokens 1e9 --systems dgx-1v,rtx-4090-4x --recipes full,lora --most-nodes 2 \
    --threads $threads -q --format json | sed "s, --threads $threads,," >"$folder/$threads.plan"
done
same jsonl && same json && same plan
