"use strict";
// The report of one run: does it fit, where the memory goes, when the peak is, what the step waits for.

const report = data.report;
const step = report.step;
const stepParts = [
  {name: "compute", value: step.compute_s, color: "compute"},
  {name: "communication", value: step.exposed_communication_s, color: "communication"},
  {name: "transfers", value: step.exposed_transfer_s, color: "transfers"},
  {name: "optimizer", value: step.optimizer_s, color: "cpu-optimizer"},
  {name: "idle", value: step.idle_s, color: "idle"},
].map((part) => ({...part, label: text.percent(part.value / (step.time_s || 1), 0)}));
const rowsOf = (object) => Object.entries(object).filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1]);

// --- the head -------------------------------------------------------------------------------------------------------

function head() {
  const [verdict, ...rest] = data.verdict.headline.split(": ");
  return el("header", {},
    el("div", {class: "verdict"},
      el("span", {class: "badge " + (report.fits ? "good" : "bad")}, (report.fits ? "✓ " : "✗ ") + verdict),
      el("h1", {}, rest.join(": "))),
    data.verdict.reasons.map((reason) => el("p", {}, reason)),
    el("p", {class: "soft"}, data.verdict.scenario));
}

/** A memory as a bar to its capacity. */
function memoryTile(title, entry, used, peak, remark) {
  const whole = Math.max(entry.capacity_bytes, used);
  const parts = rowsOf(entry.at_peak).map(([name, bytes]) => ({name: text.name(name), value: bytes, color: name, label: text.gib(bytes)}));
  const rest = used - parts.reduce((sum, part) => sum + part.value, 0);
  if (rest > 0) parts.push({name: "cached, context", value: rest, color: "idle", label: text.gib(rest)});
  return el("div", {class: "card tile"}, el("h2", {}, title),
    el("div", {class: "figure"}, text.gib(used), el("small", {}, ` of ${text.gib(entry.capacity_bytes)} GiB`)),
    partsBar(parts, whole, `${title}: ${text.gib(used)} of ${text.gib(entry.capacity_bytes)} GiB`, used > entry.capacity_bytes && entry.capacity_bytes),
    peak && el("p", {}, el("span", {class: "soft"}, "peak in "), el("strong", {}, peak)), remark && el("p", {class: "soft"}, remark));
}

const fullestDevice = report.devices.reduce((a, b) => (b.peak_used_bytes / b.capacity_bytes > a.peak_used_bytes / a.capacity_bytes ? b : a));

/** The memory over time of a device's group. */
const memoryOf = (device) => data.memory.find((memory) => memory.id === device.id || memory.id.startsWith(device.id + "-") ||
  memory.id.startsWith(device.id + " ")) || data.memory[0];

function tiles() {
  const fullest = fullestDevice;
  const host = report.hosts.reduce((a, b) => (b.peak_bytes / b.capacity_bytes > a.peak_bytes / a.capacity_bytes ? b : a));
  const waits = report.bottleneck;
  return el("div", {class: "tiles"},
    memoryTile("GPU memory", fullest, fullest.peak_used_bytes, `${fullest.peak_at}, at ${text.time(memoryOf(fullest).peak.t)}`),
    host.peak_bytes > 0 && memoryTile("Host RAM", host, host.peak_bytes, null,
      host.pinned_bytes > 0 && `${text.gib(host.pinned_bytes)} GiB of it pinned`),
    el("div", {class: "card tile"}, el("h2", {}, "One step"),
      el("div", {class: "figure"}, text.time(step.time_s)),
      partsBar(stepParts.filter((part) => part.value > 0), step.time_s || 1, "what the step waits for"),
      el("p", {}, "waits for ", el("strong", {}, waits.resource), el("span", {class: "soft"}, `, ${text.percent(waits.share_of_step)} of the step`))),
    el("div", {class: "card tile"}, el("h2", {}, "Speed"),
      el("div", {class: "figure"}, text.digits(step.tokens_per_s), el("small", {}, " tokens/s")),
      el("p", {}, `${text.digits(step.tokens_per_s_per_gpu)} tokens/s a GPU`),
      el("p", {}, `MFU ${text.percent(step.mfu)}, HFU ${text.percent(step.hfu)}`),
      report.run && el("p", {}, `whole run: ${text.hours(report.run.hours)}, ${text.short(report.run.energy_kWh)} kWh`,
        report.run.cost_usd !== null && `, ${text.short(report.run.cost_usd)} USD`)));
}

// --- memory over time -----------------------------------------------------------------------------------------------

const order = ["weights", "master_weights", "gradients", "optimizer", "buffers", "workspace", "gathered", "activations", "logits"];

/** The samples as rows to stack. */
function memoryRows(memory, categories) {
  const rows = [];
  const add = (t, i, sample) => categories.forEach((category, c) =>
    rows.push({t, i, c, name: category.name, gib: category.mib[sample] / 1024}));
  memory.t.forEach((t, i) => add(t, i, i));
  const last = memory.t.length - 1;
  if (memory.t[last] < memory.whole.range[1]) add(memory.whole.range[1], last + 1, last);
  return rows;
}

function memorySpec(memory, categories, hidden) {
  const highest = Math.max(memory.peak.mib, ...memory.reserved_mib.map((mib) => (memory.kind === "device" ? mib + memory.outside_mib : 0))) / 1024;
  const capacity = memory.capacity_mib / 1024;
  const shows = capacity < (memory.kind === "device" ? 8 : 3) * highest;  // else nothing could be told apart below it
  const top = Math.max(highest * 1.14, shows ? capacity * 1.06 : 0);
  const halo = [color("card"), null];  // texts are drawn twice, so that they can be read over lines
  const peak = [{t: memory.peak.t, gib: memory.peak.mib / 1024}];
  return {
    height: 330,
    signals: [
      {name: "domain", value: memory.whole.range}, {name: "hidden", value: [...hidden]}, {name: "pointed", value: null},
      {name: "floor", update: "height - 42"},  // below it stand the phases
    ],
    data: [
      {name: "rows", values: memoryRows(memory, categories), transform: [
        {type: "filter", expr: "indexof(hidden, datum.name) < 0"},
        {type: "stack", groupby: ["t", "i"], sort: {field: "c"}, field: "gib"}]},
      ...categories.map((category) => ({name: "of_" + category.name, source: "rows", transform: [
        {type: "filter", expr: `datum.name === '${category.name}'`}]})),
      {name: "used", values: memory.t.map((t, i) => ({t, gib: (memory.reserved_mib[i] + memory.outside_mib) / 1024}))},
      {name: "marks", values: phaseBands(memory)}, {name: "layers", values: memory.marks.filter((m) => m.layer >= 0)},
      {name: "peak", values: peak}, {name: "capacity", values: shows ? [{gib: capacity}] : []},
      {name: "pointed_at", values: [{}], transform: [{type: "filter", expr: "pointed !== null"}]},
    ],
    scales: [
      {name: "x", type: "linear", domain: {signal: "domain"}, range: "width", zero: false, nice: false},
      {name: "y", type: "linear", domain: [0, top], range: [{signal: "floor"}, 0], nice: false},
      {name: "color", type: "ordinal", domain: order, range: order.map(color)},
      {name: "phase", type: "ordinal", domain: ["load", "forward", "backward", "optimizer step", "save"],
        range: ["workspace", "weights", "activations", "cpu-optimizer", "buffers"].map(color)},
    ],
    axes: [
      {orient: "left", scale: "y", grid: true, title: "GiB", tickCount: 6, domain: false, ticks: false},
      {orient: "bottom", scale: "x", tickCount: {signal: "width / 90"}, title: "simulated time, seconds"},
    ],
    marks: [
      ...categories.map((category) => ({type: "area", from: {data: "of_" + category.name}, clip: true, encode: {update: {
        interpolate: {value: "step-after"}, x: {scale: "x", field: "t"}, y: {scale: "y", field: "y0"}, y2: {scale: "y", field: "y1"},
        fill: {scale: "color", field: "name"}, fillOpacity: {value: 0.92}}}})),
      memory.kind === "device" && {type: "line", from: {data: "used"}, clip: true, encode: {update: {interpolate: {value: "step-after"},
        x: {scale: "x", field: "t"}, y: {scale: "y", field: "gib"}, stroke: {value: color("soft")}, strokeWidth: {value: 1.5}, strokeDash: {value: [5, 3]}}}},
      {type: "rule", from: {data: "capacity"}, encode: {update: {x: {value: 0}, x2: {signal: "width"}, y: {scale: "y", field: "gib"},
        stroke: {value: color("bad")}, strokeWidth: {value: 2}}}},
      ...halo.map((stroke) => ({type: "text", from: {data: "capacity"}, encode: {update: {x: {signal: "width - 4"}, y: {scale: "y", field: "gib", offset: 14},
        align: {value: "right"}, text: {value: `capacity ${text.digits(capacity, 1)} GiB`}, stroke: {value: stroke}, strokeWidth: {value: 4},
        fill: {value: color("bad")}, fontWeight: {value: 600}}}})),
      {type: "rule", from: {data: "peak"}, clip: true, encode: {update: {x: {scale: "x", field: "t"}, y: {scale: "y", field: "gib", offset: -6},
        y2: {signal: "floor"}, stroke: {value: color("mark")}, strokeDash: {value: [2, 2]}}}},
      {type: "symbol", from: {data: "peak"}, clip: true, encode: {update: {x: {scale: "x", field: "t"}, y: {scale: "y", field: "gib"},
        size: {value: 70}, fill: {value: color("mark")}, stroke: {value: color("card")}}}},
      ...halo.map((stroke) => ({type: "text", from: {data: "peak"}, clip: true, interactive: false, encode: {update: {
        x: {signal: "clamp(scale('x', datum.t), 0, width)"}, y: {scale: "y", field: "gib", offset: -12},
        align: {signal: "scale('x', datum.t) > width - 130 ? 'right' : scale('x', datum.t) < 130 ? 'left' : 'center'"},
        opacity: {signal: "datum.t >= domain[0] && datum.t <= domain[1] ? 1 : 0"}, stroke: {value: stroke}, strokeWidth: {value: 5},
        text: {value: `peak ${text.memory(memory.peak.mib)}`}, fill: {value: color("mark")}, fontWeight: {value: 700}, fontSize: {value: 13}}}})),
      {type: "rect", from: {data: "marks"}, clip: true, encode: {update: {x: {scale: "x", field: "begin"}, x2: {scale: "x", field: "end"},
        y: {signal: "floor + 7"}, height: {value: 18}, fill: {scale: "phase", field: "phase"}, fillOpacity: {value: 0.85}}}},
      {type: "rect", from: {data: "layers"}, clip: true, interactive: false, encode: {update: {x: {scale: "x", field: "begin"}, x2: {scale: "x", field: "end"},
        y: {signal: "floor + 25"}, height: {value: 13}, fill: {value: color("soft")}, fillOpacity: {signal: "datum.layer % 2 ? 0.18 : 0.32"}}}},
      {type: "text", from: {data: "layers"}, clip: true, interactive: false, encode: {update: {
        x: {signal: "(scale('x', datum.begin) + scale('x', datum.end)) / 2"}, y: {signal: "floor + 32"}, align: {value: "center"}, baseline: {value: "middle"},
        fontSize: {value: 10}, fill: {value: color("ink")},
        text: {signal: "scale('x', datum.end) - scale('x', datum.begin) > 58 ? 'layer ' + datum.layer : scale('x', datum.end) - scale('x', datum.begin) > 18 ? datum.layer : ''"}}}},
      {type: "text", from: {data: "marks"}, clip: true, encode: {update: {
        x: {signal: "(clamp(scale('x', datum.begin), 0, width) + clamp(scale('x', datum.end), 0, width)) / 2"}, y: {signal: "floor + 16"},
        align: {value: "center"}, baseline: {value: "middle"}, fontSize: {value: 11}, fill: {value: color("card")}, fontWeight: {value: 600},
        text: {signal: "clamp(scale('x', datum.end), 0, width) - clamp(scale('x', datum.begin), 0, width) > 7 * length(datum.phase) + 6 ? datum.phase : ''"}}}},
      {type: "rule", from: {data: "pointed_at"}, encode: {update: {x: {signal: "pointed === null ? 0 : scale('x', pointed)"}, y: {value: 0},
        y2: {signal: "height"}, stroke: {value: color("soft")}}}},
    ].filter(Boolean),
  };
}

/** Marks of one phase in a row, joined. */
function phaseBands(memory) {
  const bands = [];
  for (const mark of memory.marks) {
    const last = bands[bands.length - 1];
    const stage = memory.stages.findIndex((s) => mark.begin < s.end);
    if (last && last.phase === mark.phase && last.stage === stage) last.end = mark.end;
    else bands.push({phase: mark.phase, begin: mark.begin, end: mark.end, stage});
  }
  return bands;
}

/** The last of the ascending values that is not above x. */
function lastBefore(values, x) {
  let low = 0;
  for (let high = values.length; high - low > 1;) {
    const middle = (low + high) >> 1;
    if (values[middle] <= x) low = middle;
    else high = middle;
  }
  return low;
}

function memoryTip(memory, categories, hidden, x) {
  const i = lastBefore(memory.t, x);
  const mark = memory.marks.find((m) => m.begin <= x && x < m.end);
  const shown = categories.filter((c) => c.mib[i] > 0 && !hidden.has(c.name)).sort((a, b) => b.mib[i] - a.mib[i]);
  const row = (name, mib, swatchOf) => el("tr", {}, el("td", {}, swatchOf && swatch(swatchOf), name), el("td", {}, text.memory(mib)));
  const sum = shown.reduce((total, c) => total + c.mib[i], 0);
  const largest = memory.largest ? memory.largest[i] : [];
  return [
    el("strong", {}, mark ? mark.name : memory.id), el("div", {class: "soft"}, text.time(x)),
    el("table", {}, shown.map((c) => row(text.name(c.name), c.mib[i], c.name)), row("together", sum)),
    largest.length > 0 && el("div", {class: "soft"}, "largest tensors"),
    largest.length > 0 && el("table", {}, [...Array(largest.length / 2).keys()].map((k) => row(memory.tensor_names[largest[2 * k]], largest[2 * k + 1]))),
  ].filter(Boolean);
}

function memoryChart(memory, number) {
  const present = order.map((name) => memory.categories.find((c) => c.name === name)).filter(Boolean);
  const hidden = new Set(), name = "memory-" + number;
  const stages = [{name: "whole run", begin: memory.stages[0].begin, end: memory.stages[memory.stages.length - 1].end}, ...memory.stages];
  stages[0].end = Math.max(...data.memory.flatMap((other) => other.stages.map((stage) => stage.end)));
  memory.whole = {range: [stages[0].begin, stages[0].end]};
  const box = chart(name, `Memory of ${memory.id} over simulated time, by category; the table of figures below says the same.`, {
    whole: memory.whole,
    keep: ["domain", "hidden"],
    spec: () => memorySpec(memory, present, hidden),
    hover(x, item, event) {
      const view = charts[name].view;
      const inside = x !== null && x >= view.signal("domain")[0] && x <= view.signal("domain")[1];
      view.signal("pointed", inside ? x : null).runAsync();
      if (inside) tip.show(event.clientX, event.clientY, ...memoryTip(memory, present, hidden, x));
      else tip.hide();
    },
  });
  box.addEventListener("mouseleave", () => charts[name].view.signal("pointed", null).run());
  const pick = choice("part of the run", stages.map((s) => s.name), 0, (i) => charts[name].show(stages[i].begin, stages[i].end));
  pick.append(el("span", {class: "gap"}), ...zoomTools(name));
  const capacity = `of ${text.memory(memory.capacity_mib)}`;
  return el("div", {},
    el("h3", {}, `${memory.id}, ${memory.name}`, el("span", {class: "soft"}, ` — peak ${text.memory(memory.peak.mib)} ${capacity}${memory.peak.at ? " in " + memory.peak.at : ""}`)),
    pick, legend(present.map((c) => c.name), (c) => c, (off) => {
      hidden.clear();
      off.forEach((c) => hidden.add(c));
      charts[name].view.signal("hidden", [...off]).run();
    }),
    box, memory.kind === "device" && el("p", {class: "soft"}, "Dashed: what nvidia-smi would show — segments held by the caching allocator, CUDA context and communicators. Time is the GPU's: what the host thread allocates ahead is drawn where the GPU gets to it. Drag over the chart to zoom, double click to see all."));
}

function memorySection() {
  const shown = data.memory.filter((memory) => memory.categories.length > 0);
  const frame = el("div", {}, shown.map(memoryChart).map((c, i) => { c.hidden = i > 0 && shown.length > 4; return c; }));
  const show = (i) => {
    [...frame.children].forEach((child, k) => { child.hidden = k !== i; });
    charts["memory-" + i].draw();
  };
  return section("memory", "Where the memory goes, and when",
    shown.length > 4 && choice("group", shown.map((m) => m.id), 0, show), frame, peakTables());
}

/** The figures of the charts as tables. */
function peakTables() {
  const device = fullestDevice;
  const tablesOf = (heading, rows, whole) => el("div", {}, el("h3", {}, heading), table([
    {head: "", cell: (r) => [order.includes(r[0]) && swatch(r[0]), text.name(r[0])], text: true},
    {head: "GiB", cell: (r) => text.gib(r[1], 2)}, {head: "of it", cell: (r) => text.percent(r[1] / whole, 1)}], rows));
  return el("div", {class: "pair"},
    tablesOf(`At the peak of ${device.id}: ${device.peak_at}`, rowsOf(device.at_peak), device.peak_allocated_bytes),
    device.largest.length > 0 && el("div", {}, el("h3", {}, "Largest tensors there"), table([
      {head: "tensor", cell: (t) => t.name, text: true}, {head: "GiB", cell: (t) => text.gib(t.bytes, 2)}], device.largest.slice(0, 9))));
}

// --- the step, stream by stream -------------------------------------------------------------------------------------

const kindColor = {compute: "compute", collective: "communication", copy: "transfers", storage: "buffers", cpu: "cpu-optimizer",
  phase: "weights", synchronize: "idle", rendezvous: "idle"};
const kindName = {compute: "kernels", collective: "collectives", copy: "copies", storage: "drives", cpu: "work of the CPU",
  phase: "host thread", synchronize: "the host thread waits"};

function timelineSpec(group, hidden) {
  const names = group.tracks.filter((track) => group.rows.some((row) => row.track === track));
  return {
    height: 30 * names.length,
    signals: [{name: "domain", value: stepWhole.range}, {name: "hidden", value: [...hidden]}],
    data: [
      {name: "slices", values: group.rows, transform: [{type: "filter", expr: "indexof(hidden, datum.kind) < 0 && datum.end > domain[0] && datum.begin < domain[1]"}]},
      {name: "critical", values: group.path, transform: [{type: "filter", expr: "indexof(hidden, 'critical path') < 0 && datum.end > domain[0] && datum.begin < domain[1]"}]},
    ],
    scales: [
      {name: "x", type: "linear", domain: {signal: "domain"}, range: "width", zero: false, nice: false},
      {name: "y", type: "band", domain: names, range: "height", paddingInner: 0.2, paddingOuter: 0.1},
      {name: "kind", type: "ordinal", domain: Object.keys(kindColor), range: Object.values(kindColor).map(color)},
    ],
    axes: [
      {orient: "left", scale: "y", domain: false, ticks: false, labelLimit: 120, labelColor: color("ink")},
      {orient: "bottom", scale: "x", grid: true, tickCount: {signal: "width / 90"}, title: "seconds"},
    ],
    marks: [
      {type: "rect", from: {data: "slices"}, clip: true, encode: {update: {x: {scale: "x", field: "begin"},
        x2: {signal: "max(scale('x', datum.end), scale('x', datum.begin) + 0.4)"}, y: {scale: "y", field: "track"},
        height: {scale: "y", band: 1, offset: -5}, fill: {scale: "kind", field: "kind"}, fillOpacity: {value: 0.9}}}},
      {type: "text", from: {data: "slices"}, clip: true, interactive: false, encode: {update: {
        x: {signal: "(clamp(scale('x', datum.begin), 0, width) + clamp(scale('x', datum.end), 0, width)) / 2"},
        y: {scale: "y", field: "track", band: 0.42}, align: {value: "center"}, baseline: {value: "middle"}, fontSize: {value: 11}, fill: {value: color("card")},
        text: {signal: "clamp(scale('x', datum.end), 0, width) - clamp(scale('x', datum.begin), 0, width) > 6.6 * length(datum.name) + 8 ? datum.name : ''"}}}},
      {type: "rect", from: {data: "critical"}, clip: true, interactive: false, encode: {update: {x: {scale: "x", field: "begin"},
        x2: {signal: "max(scale('x', datum.end), scale('x', datum.begin) + 1)"}, y: {scale: "y", field: "track", band: 1, offset: -5},
        height: {value: 5}, fill: {value: color("critical")}}}},
    ],
  };
}

const stepWhole = {range: [data.timeline.begin, data.timeline.end]};

function timelineGroup(group) {
  const {names, tracks} = group;
  group.rows = group.slices.map(([track, begin, end, name, kind, where, bytes, count]) => ({
    track: tracks[track], begin, end, kind: names[kind], where: names[where], bytes, count: count || 1,
    name: count ? `${names[name]} and ${count - 1} more` : names[name]}));
  group.path = group.critical.map(([track, begin, end]) => ({track: tracks[track], begin, end}));
  return group;
}

function timelineSection() {
  const groups = data.timeline.groups.map(timelineGroup);
  let chosen = Math.min(data.timeline.slowest, groups.length - 1);
  const hidden = new Set();
  const kinds = [...new Set(groups.flatMap((group) => group.rows.map((row) => row.kind)))].filter((kind) => kindColor[kind]);
  const box = chart("timeline", "The steady step: what each stream does and when, and the critical path.", {
    whole: stepWhole, keep: ["domain", "hidden"], spec: () => timelineSpec(groups[chosen], hidden),
    hover(x, item, event) {
      const slice = item?.datum?.kind ? item.datum : null;
      if (!slice) return tip.hide();
      return tip.show(event.clientX, event.clientY, el("strong", {}, slice.name), el("div", {}, slice.where),
        el("div", {class: "soft"}, `${text.time(slice.end - slice.begin)}, from ${text.time(slice.begin - stepWhole.range[0])} of the step`),
        slice.bytes > 0 ? el("div", {class: "soft"}, `${text.bytes(slice.bytes)}, ${text.rate(slice.bytes / (slice.end - slice.begin))}`) : "");
    },
  });
  const keys = legend(["critical path", ...kinds], (kind) => (kind === "critical path" ? "critical" : kindColor[kind]), (off) => {
    hidden.clear();
    off.forEach((kind) => hidden.add(kind));
    charts.timeline.view.signal("hidden", [...off]).run();
  });
  keys.querySelectorAll("button").forEach((button) => {
    const kind = button.dataset.name;
    button.lastChild.textContent = kindName[kind] || kind;
  });
  const tools = el("div", {class: "tools"}, groups.length > 1 && choice("group", groups.map((g) => g.id), chosen, (i) => {
    chosen = i;
    charts.timeline.draw();
  }), el("span", {class: "gap"}), zoomTools("timeline"));
  return section("step", "What the step waits for",
    el("p", {}, el("strong", {}, report.bottleneck.resource), `, ${text.percent(report.bottleneck.share_of_step)} of the step: ${report.bottleneck.why}.`),
    partsBar(stepParts.filter((p) => p.value > 0).map((p) => ({...p, label: `${text.time(p.value)}, ${text.percent(p.value / step.time_s)}`})), step.time_s || 1, "parts of the step"),
    el("h3", {}, `The steady step of ${groups[chosen].id}, stream by stream`, el("span", {class: "soft"}, " — red: the critical path")),
    tools, keys, box);
}

// --- links ----------------------------------------------------------------------------------------------------------

/** What kind of part a name of the topology is. */
function partKind(id) {
  const name = id.split(":").pop();
  return ["gpu", "nvswitch", "nic", "numa", "nvme", "dram"].find((kind) => name.startsWith(kind)) || (/^(network|leaf|spine)/.test(name) ? "network" : "switch");
}

/** The parts and edges of the first GPU's node and the network that it reaches. */
function machineGraph() {
  const edges = new Map(), beside = new Map(), memory = new Map();
  for (const link of data.links.links) {
    const [from, to] = link.id.split(">");
    if (!to) {
      memory.set(link.id.replace("dram", "numa"), link);
      continue;
    }
    const key = [from, to].sort().join(">");
    if (!edges.has(key)) edges.set(key, {ends: [from, to].sort(), links: []});
    edges.get(key).links.push(link);
    for (const [a, b] of [[from, to], [to, from]]) beside.set(a, (beside.get(a) || new Set()).add(b));
  }
  const reached = new Set(), waiting = [data.links.links.map((l) => l.id.split(">")[0]).find((id) => partKind(id) === "gpu")];
  while (waiting.length > 0) {
    const part = waiting.pop();
    if (reached.has(part) || part === undefined) continue;
    reached.add(part);
    if (partKind(part) !== "network") waiting.push(...(beside.get(part) || []));
  }
  // Drives, NICs and the network only where the step uses one of them; no switch that leads nowhere then.
  const used = new Set([...edges.values()].filter((e) => e.links.some((l) => l.bytes > 0)).flatMap((e) => e.ends.map(partKind)));
  let shown = [...reached].filter((part) => !["nvme", "nic", "network"].includes(partKind(part)) || used.has(partKind(part)));
  const leads = (part) => partKind(part) !== "switch" || shown.filter((other) => beside.get(part).has(other)).length > 1;
  for (let before = 0; before !== shown.length;) {
    before = shown.length;
    shown = shown.filter(leads);
  }
  return {parts: shown, edges: [...edges.values()].filter((e) => e.ends.every((end) => shown.includes(end))), beside, memory};
}

const rowOf = {network: 0, nvme: 1, numa: 1, switch: 2, nic: 3, gpu: 4, nvswitch: 5};

/** Places by rows: GPUs in order, every other part above the middle of the placed parts that it joins. */
function placed(graph, width, widthOf) {
  const byNumber = (a, b) => a.localeCompare(b, undefined, {numeric: true});
  const rows = [...new Set(graph.parts.map((part) => rowOf[partKind(part)]))].sort((a, b) => a - b);
  const rowHeight = 74, place = new Map();
  const middle = (part) => {
    const near = [...(graph.beside.get(part) || [])].filter((other) => place.has(other)).map((other) => place.get(other).x);
    return near.length ? near.reduce((a, b) => a + b) / near.length : width / 2;
  };
  /** As near to where they want to be as their widths allow. */
  const put = (parts, wanted) => {
    const at = parts.map((part) => ({part, x: wanted(part), w: widthOf(part) + 8})).sort((a, b) => a.x - b.x || byNumber(a.part, b.part));
    for (let k = 1; k < at.length; ++k) at[k].x = Math.max(at[k].x, at[k - 1].x + (at[k - 1].w + at[k].w) / 2);
    const shift = at.reduce((sum, p) => sum + wanted(p.part) - p.x, 0) / at.length;
    const least = at[0].w / 2 - at[0].x, most = width - at[at.length - 1].w / 2 - at[at.length - 1].x;
    const by = Math.max(least, Math.min(most, shift));
    at.forEach((p) => place.set(p.part, {x: p.x + by, y: 26 + rows.indexOf(rowOf[partKind(p.part)]) * rowHeight}));
  };
  const inRow = (row) => graph.parts.filter((part) => rowOf[partKind(part)] === row);
  const gpus = inRow(rowOf.gpu).sort(byNumber), gap = Math.min(150, width / gpus.length);
  put(gpus, (gpu) => width / 2 + (gpus.indexOf(gpu) - (gpus.length - 1) / 2) * gap);
  // A NIC stands beside the line from its switch to the GPU.
  const wanted = (part) => middle(part) + (partKind(part) === "nic" ? Math.min(38, gap / 2) : 0);
  for (const row of [rowOf.nvswitch, rowOf.switch, rowOf.nic, rowOf.numa, rowOf.network]) if (inRow(row).length > 0) put(inRow(row), wanted);
  return {place, height: rows.length * rowHeight};
}

function machineSpec(width) {
  const graph = machineGraph(), inner = width - 20;
  const most = Math.max(0.01, ...graph.edges.flatMap((e) => e.links.map((l) => l.utilization)), ...[...graph.memory.values()].map((l) => l.utilization));
  const narrow = inner / Math.max(1, graph.parts.filter((p) => partKind(p) === "gpu").length) < 60;
  const shortName = (id) => { const name = id.split(":").pop(); return narrow ? name.replace(/^(gpu|sw|nic)(?=\d)/, "") : name; };
  const labelOf = (id) => {
    const memory = graph.memory.get(id);
    return memory && memory.bytes > 0 && !narrow ? `${shortName(id)}: DRAM ${text.percent(memory.utilization, 0)}` : shortName(id);
  };
  const widthOf = (id) => (narrow ? 26 : Math.max(48, 7.6 * labelOf(id).length + 14));
  const {place, height} = placed(graph, inner, widthOf);
  const edges = graph.edges.map((edge) => {
    // From the end with fewer edges to the other: its label stands near the first, where there is room.
    const [a, b] = [...edge.ends].sort((p, q) => graph.beside.get(p).size - graph.beside.get(q).size).map((end) => place.get(end));
    return {x: a.x, y: a.y, x2: b.x, y2: b.y, bend: a.y === b.y && Math.abs(a.x - b.x) > 1 ? 12 + Math.abs(a.x - b.x) * 0.14 : 0, links: edge.links,
      use: Math.max(...edge.links.map((l) => l.utilization)), gbps: Math.max(...edge.links.map((l) => l.bandwidth_Bps)) / 1e9};
  }).map((e) => ({...e, path: e.bend ? `M${e.x},${e.y}Q${(e.x + e.x2) / 2},${e.y + e.bend * 2} ${e.x2},${e.y2}` : `M${e.x},${e.y}L${e.x2},${e.y2}`}))
    .sort((a, b) => a.use - b.use);
  const parts = graph.parts.map((id) => ({id, kind: partKind(id), ...place.get(id), memory: graph.memory.get(id),
    use: graph.memory.get(id)?.utilization ?? null, label: labelOf(id), w: widthOf(id)}));
  return {
    height: height + 8,
    data: [{name: "edges", values: edges}, {name: "parts", values: parts}],
    scales: [{name: "heat", type: "linear", domain: [0, most], range: [color("line"), color("heat-high")], interpolate: "lab"},
      {name: "x", type: "identity"}],
    marks: [
      {type: "path", from: {data: "edges"}, encode: {update: {path: {field: "path"}, stroke: {scale: "heat", field: "use"},
        strokeWidth: {signal: "1.5 + 2.2 * log(1 + datum.gbps / 8)"}, strokeCap: {value: "round"}}}},
      ...(narrow ? [] : [color("card"), null]).map((stroke) => ({type: "text", from: {data: "edges"}, interactive: false, encode: {update: {
        x: {signal: "datum.x + (datum.x2 - datum.x) * 0.4"}, y: {signal: "datum.y + (datum.y2 - datum.y) * 0.4 + datum.bend"}, align: {value: "center"}, baseline: {value: "middle"},
        fontSize: {value: 11}, fill: {value: color("ink")}, stroke: {value: stroke}, strokeWidth: {value: 4},
        text: {signal: "datum.use >= 0.005 ? format(datum.use * 100, '.0f') + ' %' : ''"}}}})),
      {type: "rect", from: {data: "parts"}, encode: {update: {xc: {field: "x"}, yc: {field: "y"}, width: {field: "w"}, height: {value: 28},
        cornerRadius: {value: 7}, fill: {signal: "datum.use === null ? '" + color("card") + "' : scale('heat', datum.use)"},
        stroke: {value: color("soft")}, strokeWidth: {signal: "datum.kind === 'gpu' ? 2 : 1"}}}},
      {type: "text", from: {data: "parts"}, interactive: false, encode: {update: {x: {field: "x"}, y: {field: "y"}, align: {value: "center"}, baseline: {value: "middle"},
        text: {field: "label"}, fill: {signal: `datum.use > ${0.5 * most} ? '${color("card")}' : '${color("ink")}'`}, fontWeight: {signal: "datum.kind === 'gpu' ? 700 : 400"}}}},
    ],
  };
}

function linkLine(link) {
  return el("tr", {}, el("td", {}, link.id), el("td", {}, `${text.percent(link.utilization)} of ${text.rate(link.bandwidth_Bps)}, ${text.bytes(link.bytes)}`));
}

/** Links of one kind that carry the same at every instant are one row. */
function linkRows() {
  const rows = new Map();
  for (const row of data.links.over_time) {
    const key = row.kind + row.use;
    if (rows.has(key)) rows.get(key).count += row.count;
    else rows.set(key, {...row});
  }
  return [...rows.values()];
}

function linkUseSpec(width) {
  const rows = linkRows(), length = rows.length ? rows[0].use.length : 0;
  const [begin, end] = stepWhole.range;
  const label = (row) => (row.count > 1 ? `${row.id} (×${row.count})` : row.id);
  const cells = rows.flatMap((row) => row.use.map((use, k) => ({row: label(row), use, kind: row.kind, bandwidth: row.bandwidth_Bps,
    begin: begin + (end - begin) * k / length, end: begin + (end - begin) * (k + 1) / length}))).filter((cell) => cell.use > 0);
  return {
    height: 22 * rows.length,
    signals: [{name: "domain", value: stepWhole.range}],
    data: [{name: "cells", values: cells, transform: [{type: "filter", expr: "datum.end > domain[0] && datum.begin < domain[1]"}]}],
    scales: [
      {name: "x", type: "linear", domain: {signal: "domain"}, range: "width", zero: false, nice: false},
      {name: "y", type: "band", domain: rows.map(label), range: "height", paddingInner: 0.15},
      {name: "heat", type: "linear", domain: [0, 1], range: [color("heat-low"), color("heat-high")], interpolate: "lab", clamp: true},
    ],
    axes: [
      {orient: "left", scale: "y", domain: false, ticks: false, labelLimit: width > 700 ? 230 : 130, labelColor: color("ink")},
      {orient: "bottom", scale: "x", grid: true, tickCount: {signal: "width / 90"}, title: "seconds"},
    ],
    marks: [
      {type: "rect", from: {data: "cells"}, clip: true, encode: {update: {x: {scale: "x", field: "begin"}, x2: {scale: "x", field: "end", offset: 0.3},
        y: {scale: "y", field: "row"}, height: {scale: "y", band: 1}, fill: {scale: "heat", field: "use"}}}},
    ],
  };
}

function linksSection() {
  const several = report.devices.length > 0 && report.request.nodes > 1;
  const machine = machineGraph().parts.length > 0 && chart("machine", "The machine as a graph: GPUs, switches and sockets, links coloured by how much of them the step uses.", {
    spec: machineSpec,
    hover(x, item, event) {
      const links = item?.datum?.links || (item?.datum?.memory ? [item.datum.memory] : null);
      if (!links) return tip.hide();
      return tip.show(event.clientX, event.clientY, el("table", {}, links.map(linkLine)));
    },
  });
  const use = data.links.over_time.length > 0 && chart("links", "How much of the busiest links is in use over the step.", {
    whole: stepWhole, spec: linkUseSpec,
    hover(x, item, event) {
      const cell = item?.datum?.row ? item.datum : null;
      if (!cell) return tip.hide();
      return tip.show(event.clientX, event.clientY, el("strong", {}, cell.row), el("div", {}, `${text.percent(cell.use)} of ${text.rate(cell.bandwidth)}`));
    },
  });
  return section("links", "Links",
    el("p", {class: "soft"}, `${report.request.topology_name}: redder links are used more, wider ones are faster${several ? `; one of ${report.request.nodes} nodes` : ""}.`),
    machine, use && el("h3", {}, "The busiest links over the step", el("span", {class: "soft"}, " — it moves with the timeline above")), use);
}

// --- tables and remarks ---------------------------------------------------------------------------------------------

/** Entries that say the same stand once. */
function once(entries) {
  const seen = new Map();
  for (const entry of entries) {
    const {id, ...rest} = entry, key = JSON.stringify(rest);
    if (seen.has(key)) seen.get(key).ids.push(id);
    else seen.set(key, {...entry, ids: [id]});
  }
  return [...seen.values()].map((e) => ({...e, id: e.ids.length > 1 ? `${e.ids[0]} and ${e.ids.length - 1} more` : e.id}));
}

function tablesSection() {
  const devices = once(report.devices), hosts = once(report.hosts);
  const gib = (bytes) => text.gib(bytes, 2);
  return section("tables", "Figures",
    el("h3", {}, "Devices, GiB"), table([
      {head: "device", cell: (d) => d.id, text: true}, {head: "allocated", cell: (d) => gib(d.peak_allocated_bytes)},
      {head: "reserved", cell: (d) => gib(d.peak_reserved_bytes)}, {head: "used", cell: (d) => gib(d.peak_used_bytes)},
      {head: "capacity", cell: (d) => gib(d.capacity_bytes)}, {head: "fits", cell: (d) => (d.fits ? "yes" : "no")},
      {head: "peak", cell: (d) => d.peak_at, text: true}], devices),
    el("p", {class: "soft"}, "allocated: torch.cuda.max_memory_allocated(); reserved: torch.cuda.max_memory_reserved(); used: nvidia-smi."),
    el("h3", {}, "By stage, GiB used"), table([
      {head: "", cell: (r) => r.id, text: true}, ...devices[0].phases.map((p, i) => ({head: p.phase, cell: (r) => gib(r.values[i])}))],
    [...devices.map((d) => ({id: d.id, values: d.phases.map((p) => p.peak_used_bytes)})), ...hosts.map((h) => ({id: h.id, values: h.phases.map((p) => p.peak_bytes)}))]
      .filter((r) => r.values.length === devices[0].phases.length)),
    el("h3", {}, "Links"), table([
      {head: "link", cell: (l) => l.id, text: true}, {head: "kind", cell: (l) => l.kind, text: true},
      {head: "bandwidth", cell: (l) => text.rate(l.bandwidth_Bps)}, {head: "carried", cell: (l) => text.bytes(l.bytes)},
      {head: "busy", cell: (l) => text.time(l.busy_s)}, {head: "used", cell: (l) => text.percent(l.utilization)}], once(report.links).slice(0, 16)));
}

const warnings = () => (report.warnings.length === 0 ? [] : [
  section("warnings", "Warnings", report.warnings.map((w) => el("p", {class: "note"}, w)))]);

function remarks() {
  return [
    section("assumed", "Assumed", el("ul", {class: "plain"}, data.assumptions.map((a) => el("li", {}, a)))),
    section("command", "The command", el("pre", {class: "command"}, data.command),
      el("p", {class: "soft"}, "For the same run in other tools add --trace run.pftrace (ui.perfetto.dev) or --memory-snapshot run.pickle (pytorch.org/memory_viz).")),
  ];
}

document.getElementById("report").append(head(), tiles(), ...warnings(), memorySection(), timelineSection(), linksSection(),
  tablesSection(), ...remarks());
drawAll();
