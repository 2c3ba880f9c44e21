"""Writes random traces for replay.cpp: mixes of small and large blocks on several streams, blocks that other streams
still use, caches emptied, and devices that are nearly or quite too small.

    python3 random_traces.py > random.in; ./replay < random.in > ../data/allocator_random.trace

Lines: `trace NAME caching|expandable DEVICE_BYTES AVAILABLE_BYTES`, then one operation a line:
`+ STREAM BYTES` allocate (the blocks are numbered from 0), `- BLOCK` free, `r BLOCK STREAM` record_stream,
`e STREAM [COUNT]` the stream is past the first COUNT events of freed blocks (all so far), `c` empty_cache().
"""
import random

KiB, MiB, GiB = 2**10, 2**20, 2**30

SIZES = {
    "small": lambda r: r.randint(1, 1 * MiB),
    "edges": lambda r: max(1, r.choice([512, 1 * MiB, 2 * MiB, 10 * MiB, 20 * MiB, 40 * MiB]) + r.choice([-512, -1, 0, 1, 512])),
    "middle": lambda r: r.randint(1 * MiB, 24 * MiB),
    "any": lambda r: int(2 ** r.uniform(0, 27.5)),
    "layers": lambda r: r.choice([8192, 33554432, 8388608, 117440512, 1024, 2 * 4096 * 512, 67108864]),
    "huge": lambda r: r.randint(30 * MiB, 400 * MiB),
}

# name, sizes, streams, device, share of it that is aimed at, share of frees with another user, operations
SCENARIOS = [
    ("small-blocks", "small", 1, 80 * GiB, 0.002, 0, 1500),
    ("edges-of-the-rules", "edges", 2, 80 * GiB, 0.01, 0, 1500),
    ("middle-blocks", "middle", 1, 80 * GiB, 0.02, 0, 1500),
    ("any-size", "any", 3, 80 * GiB, 0.03, 0, 2000),
    ("any-size-other-users", "any", 3, 80 * GiB, 0.03, 0.5, 2000),
    ("layers-other-users", "layers", 4, 80 * GiB, 0.05, 0.4, 2000),
    ("tight-any-size", "any", 2, 2 * GiB, 0.6, 0, 2000),
    ("tight-middle", "middle", 2, 1 * GiB, 0.7, 0, 2000),
    ("tight-layers", "layers", 3, 3 * GiB, 0.6, 0.3, 2000),
    ("tight-huge", "huge", 1, 8 * GiB, 0.6, 0, 1500),
    ("tight-edges", "edges", 3, 1 * GiB, 0.6, 0.2, 2000),
    ("too-small-any-size", "any", 2, 2 * GiB, 0.97, 0, 2000),
    ("too-small-layers", "layers", 2, 4 * GiB, 0.99, 0.2, 2000),
    ("too-small-huge", "huge", 2, 6 * GiB, 0.97, 0, 2000),
]


def write(name, mode, sizes, streams, device, share, other_users, operations, seed):
    r = random.Random(seed)
    available = device - 512 * MiB if device > 1 * GiB else device - 3 * MiB
    print("trace", name, mode, device, available)
    aim = share * available
    live, held, count, users = {}, 0, 0, {}
    for _ in range(operations):
        chance = r.random()
        if chance < 0.004:
            print("c")
        elif other_users and chance < 0.1:
            print("e", r.randrange(streams))
        elif not live or r.random() < (0.75 if held < 0.5 * aim else 0.52 if held < aim else 0.1):
            size = SIZES[sizes](r)
            stream = r.randrange(streams)
            print("+", stream, size)
            live[count] = size
            users[count] = stream
            held += size
            count += 1
        else:
            # The newest, the oldest or any: stacks, queues and a heap.
            block = r.choice([next(reversed(live)), next(iter(live)), r.choice(list(live))])
            while other_users and streams > 1 and r.random() < other_users:
                print("r", block, r.choice([s for s in range(streams) if s != users[block]]))
            print("-", block)
            held -= live.pop(block)


for number, scenario in enumerate(SCENARIOS):
    for allocator in ("caching", "expandable"):
        write(scenario[0], allocator, *scenario[1:], seed=number)
