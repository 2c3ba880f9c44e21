"""Is SNAPSHOT what Python and the PyTorch memory viewer read, and does it say what REPORT (--format json) says?

usage: check_snapshot.py SNAPSHOT REPORT

The viewer's rules are those of torch/utils/viz/MemoryViz.js (PyTorch 2.x): its unpickler, annotate_snapshot(),
process_alloc_data() and simulate_memory().
"""
import json
import pickle
import pickletools
import sys

# What the viewer's unpickler knows.
OPCODES = set(
    "APPENDS BINGET BININT BININT1 BININT2 EMPTY_DICT EMPTY_LIST FRAME LONG1 LONG_BINGET MARK MEMOIZE PROTO SETITEMS "
    "SHORT_BINUNICODE STOP TUPLE2 APPEND NEWFALSE BINPUT BINUNICODE EMPTY_TUPLE NEWTRUE NONE BINFLOAT TUPLE TUPLE1 "
    "TUPLE3 LONG_BINPUT LIST DICT SETITEM".split()
)
CATEGORIES = set(
    "weights master_weights gradients optimizer activations logits gathered buffers workspace unknown".split()
)
MOST_ADDRESS = 2**53  # JavaScript's numbers are exact up to it
MOST_ARGUMENTS = 65536  # list batches become arguments of one JavaScript call


def check(holds, *what):
    if not holds:
        sys.exit("check_snapshot: " + " ".join(str(word) for word in what))


def check_opcodes(data):
    since_mark = []
    for opcode, argument, _ in pickletools.genops(data):
        check(opcode.name in OPCODES, "the viewer knows no opcode", opcode.name)
        if opcode.name == "PROTO":
            check(2 <= argument <= 4, "protocol", argument)
        if opcode.name == "MARK":
            since_mark.append(0)
        elif opcode.name in ("APPENDS", "SETITEMS"):
            check(since_mark.pop() < MOST_ARGUMENTS, "a batch is too long for the viewer")
        elif since_mark and opcode.name not in ("BINPUT", "PROTO"):
            since_mark[-1] += 1


def check_frames(frames, empty=False):
    check(isinstance(frames, list) and (empty or frames), "no frames")
    for frame in frames:
        check(set(frame) == {"name", "filename", "line"}, "frame", frame)
        check(isinstance(frame["name"], str) and frame["name"], "a frame without a name")
        check(isinstance(frame["filename"], str) and isinstance(frame["line"], int), "frame", frame)
        check(not any(word in frame["name"] for word in ("PyEval_", "PyObject_", "_start")), "the viewer hides", frame)


def check_segment(segment):
    kinds = {"device": int, "address": int, "total_size": int, "allocated_size": int, "active_size": int,
             "requested_size": int, "stream": int, "segment_type": str, "segment_pool_id": tuple,
             "is_expandable": bool, "frames": list, "blocks": list}
    for key, kind in kinds.items():
        check(type(segment.get(key)) is kind, "segment's", key, segment.get(key))
    check(segment["segment_type"] in ("small", "large"), segment["segment_type"])
    check(0 < segment["address"] and segment["address"] + segment["total_size"] < MOST_ADDRESS, "address")
    check_frames(segment["frames"])
    address, allocated, requested, free_before = segment["address"], 0, 0, False
    for block in segment["blocks"]:
        check(block["address"] == address, "blocks leave a gap at", hex(address))
        check(block["size"] > 0 and block["size"] % 512 == 0, "block of", block["size"])
        live = block["state"] == "active_allocated"
        check(live or block["state"] == "inactive", block["state"])
        check(live or not free_before, "two free neighbours at", hex(address))
        check(0 <= block["requested_size"] <= block["size"], "requested", block["requested_size"])
        check_frames(block["frames"], empty=not live)
        free_before = not live
        address += block["size"]
        allocated += block["size"] if live else 0
        requested += block["requested_size"]
    check(address == segment["address"] + segment["total_size"], "blocks do not fill the segment")
    check(allocated == segment["allocated_size"] == segment["active_size"], "allocated_size")
    check(requested == segment["requested_size"], "requested_size")


def check_entry(entry):
    check(entry["action"] in ("alloc", "free_requested", "free_completed", "segment_alloc", "segment_free",
                              "segment_map", "segment_unmap"), entry["action"])
    for key in ("addr", "size", "stream", "time_us"):
        check(type(entry[key]) is int and entry[key] >= 0, key, entry[key])
    check(entry["size"] > 0, "an entry of no bytes")
    check(entry["category"] in CATEGORIES, "category", entry["category"])
    check_frames(entry["frames"])


class Device:
    """Replays a trace forwards; returns the peaks."""

    def __init__(self):
        self.segments, self.blocks, self.pending = {}, {}, set()
        self.held = self.most_held = self.requested = self.most_requested = 0

    def home(self, address, size):
        for base, (total, stream) in self.segments.items():
            if base <= address and address + size <= base + total:
                return stream
        return None

    def play(self, entry):
        action, address, size = entry["action"], entry["addr"], entry["size"]
        if action in ("segment_alloc", "segment_map"):
            check(address not in self.segments, "a segment is taken twice", hex(address))
            self.segments[address] = (size, entry["stream"])
            self.held += size
            self.most_held = max(self.most_held, self.held)
        elif action in ("segment_free", "segment_unmap"):
            check(self.segments.pop(address, (None,))[0] == size, "a segment is returned that is not held")
            check(not any(address <= block < address + size for block in self.blocks), "a segment in use is returned")
            self.held -= size
        elif action == "alloc":
            check(self.home(address, size) == entry["stream"], "a block outside the segments of its stream")
            check(address not in self.blocks, "a block is given out twice", hex(address))
            self.blocks[address] = size
            self.requested += size
            self.most_requested = max(self.most_requested, self.requested)
        elif action == "free_requested":
            check(self.blocks.get(address) == size, "a block is freed that is not live", hex(address))
            self.pending.add(address)
        else:
            check(address in self.pending, "free_completed without free_requested")
            self.pending.remove(address)
            self.requested -= self.blocks.pop(address)


def undo(entries, segments, blocks):
    """simulate_memory(): from the state at the end backwards to the state before the trace, which must be empty."""
    for entry in reversed(entries):
        action, address = entry["action"], entry["addr"]
        if action == "free_completed":
            blocks[address] = entry["size"]
        elif action == "alloc":
            check(address in blocks, "the viewer finds no block to undo at", hex(address))
            del blocks[address]
        elif action in ("segment_free", "segment_unmap"):
            segments[address] = entry["size"]
        elif action in ("segment_alloc", "segment_map"):
            check(address in segments, "the viewer finds no segment to undo at", hex(address))
            del segments[address]
    check(not segments and not blocks, "the trace does not begin with an empty device")


def main(snapshot_file, report_file):
    with open(snapshot_file, "rb") as file:
        data = file.read()
    with open(report_file, encoding="utf-8") as file:
        report = json.load(file)
    check_opcodes(data)
    snapshot = pickle.loads(data)
    check(set(snapshot) >= {"segments", "device_traces", "allocator_settings"}, "root", list(snapshot))
    for segment in snapshot["segments"]:
        check_segment(segment)

    by_device = {int(device["id"].split("-")[0][3:]): device for device in report["devices"]}
    categories, simulated = set(), 0
    for number, trace in enumerate(snapshot["device_traces"]):
        own = [segment for segment in snapshot["segments"] if segment["device"] == number]
        if not trace:
            check(not own, "segments without a trace")
            continue
        simulated += 1
        device, before = Device(), 0
        for entry in trace:
            check_entry(entry)
            check(entry["time_us"] >= before, "time runs backwards")
            before = entry["time_us"]
            categories.add(entry["category"])
            device.play(entry)
        # `free_requested` and `free_completed` of one block stand together, so that the viewer joins them.
        for first, second in zip(trace, trace[1:]):
            if first["action"] == "free_requested":
                check((second["action"], second["addr"]) == ("free_completed", first["addr"]), "a free is torn apart")
        segments = {segment["address"]: segment["total_size"] for segment in own}
        blocks = {b["address"]: b["requested_size"] for s in own for b in s["blocks"] if b["state"] != "inactive"}
        check(segments == {address: size for address, (size, _) in device.segments.items()}, "segments at the end")
        check(blocks == device.blocks, "blocks at the end")
        undo(trace, dict(segments), dict(blocks))
        said = by_device[number]
        check(device.most_held == said["peak_reserved_bytes"], "reserved", device.most_held, said["peak_reserved_bytes"])
        most = said["peak_allocated_bytes"]
        check(0.95 * most < device.most_requested <= most, "requested", device.most_requested, "of", most)
    check(simulated > 0, "no device has a trace")
    check("unknown" in categories, "without a category 'unknown' the viewer fails")
    check(len(categories) > 3, "categories", categories)


if __name__ == "__main__":
    main(*sys.argv[1:])
