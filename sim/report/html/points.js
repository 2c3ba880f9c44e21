"use strict";
// The report of many runs, a sweep or a plan: which settings trade what for what. Filters by axis, a brush over the
// scatter and the heat map all act on the same points.

const {axes, figures} = data;
const count = data.status.length;
const fits = data.statuses.indexOf("fits");
const figureOf = (name) => figures.find((figure) => figure.name === name);
const has = (figure) => figure.values.some((value) => value !== null);
const usable = figures.filter(has);

/** A figure's value with its unit. */
function figureText(figure, value) {
  if (value === null || value === undefined) return "–";
  switch (figure.unit) {
    case "bytes": return text.gib(value, 1) + " GiB";
    case "s": return text.time(value);
    case "h": return text.hours(value);
    case "": return text.percent(value);
    default: return `${text.short(value)} ${figure.unit}`;
  }
}
/** On an axis: bytes as GiB. */
const drawn = (figure, value) => (figure.unit === "bytes" ? value / 2 ** 30 : value);
const axisTitle = (figure) => `${figure.title}${figure.unit ? `, ${figure.unit === "bytes" ? "GiB" : figure.unit}` : ""} — ${figure.smaller ? "less" : "more"} is better`;

// --- which points count ---------------------------------------------------------------------------------------------

const state = {
  off: axes.map(() => new Set()),   // values that are filtered out, by axis
  brush: null,                      // {x: [low, high], y: [low, high]} of the scatter's figures
  x: figureOf(data.objectives[0]) && has(figureOf(data.objectives[0])) ? figureOf(data.objectives[0]) : usable[0],
  y: figureOf(data.objectives[1]) && has(figureOf(data.objectives[1])) ? figureOf(data.objectives[1]) : usable[1] || usable[0],
  onlyFits: false,
};

/** Indices of the points that pass the filters by axis. */
function filtered() {
  const points = [];
  for (let i = 0; i < count; ++i) {
    if (state.onlyFits && data.status[i] !== fits) continue;
    if (axes.every((axis, a) => !state.off[a].has(axis.index[i]))) points.push(i);
  }
  return points;
}

/** Of these, the ones inside the brush; those without both figures are outside of every brush. */
function brushed(points) {
  if (!state.brush) return points;
  const inside = (value, [low, high]) => value !== null && value >= low && value <= high;
  return points.filter((i) => inside(state.x.values[i], state.brush.x) && inside(state.y.values[i], state.brush.y));
}

/** The points that fit and that no other beats in both x and y. */
function front(points) {
  const sign = (figure) => (figure.smaller ? 1 : -1);
  const able = points.filter((i) => data.status[i] === fits && state.x.values[i] !== null && state.y.values[i] !== null);
  able.sort((a, b) => sign(state.x) * (state.x.values[a] - state.x.values[b]) || sign(state.y) * (state.y.values[a] - state.y.values[b]));
  const best = [];
  let least = Infinity;
  for (const i of able) {
    const y = sign(state.y) * state.y.values[i];
    if (y >= least) continue;
    least = y;
    best.push(i);
  }
  return best;
}

/** What its label does not say. */
const settings = (i) => axes.filter((axis) => axis.values.length > 1 && !(data.labels && data.labels[i].includes(axis.values[axis.index[i]]))).map((axis) => `${axis.name} ${axis.values[axis.index[i]]}`).join(", ");

function commandOf(i) {
  if (data.commands) return data.commands[i];
  const quoted = (value) => (/^[\w.,:/@%+=-]+$/.test(value) ? value : `'${value}'`);
  const options = {...data.base, ...Object.fromEntries(axes.map((axis) => [axis.name, axis.values[axis.index[i]]]))};
  return "shardsim" + Object.entries(options).map(([name, value]) => ` --${name} ${quoted(value)}`).join("");
}

// --- the scatter ----------------------------------------------------------------------------------------------------

const statusColor = ["good", "bad", "idle", "gradients"];

/** A logarithmic axis where the values span decades. */
function scaleOf(figure, points) {
  let low = Infinity, high = -Infinity;
  for (const i of points) {
    const value = figure.values[i];
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [0, 1];
  if (low > 0 && high / low > 30) return {type: "log", domain: [drawn(figure, low) * 0.9, drawn(figure, high) * 1.1]};
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  return {type: "linear", domain: [drawn(figure, low > 0 ? Math.max(0, low - margin) : low - margin), drawn(figure, high + margin)], zero: false};
}

/** One dot for all points of one status that would fall into the same three pixels: 50 000 points stay fluid. */
function dots(points, scales, width, height) {
  const place = (scale, value, length) => {
    const [a, b] = scale.type === "log" ? scale.domain.map(Math.log) : scale.domain;
    return ((scale.type === "log" ? Math.log(value) : value) - a) / (b - a) * length;
  };
  const cells = new Map();
  for (const i of points) {
    const x = state.x.values[i], y = state.y.values[i];
    if (x === null || y === null) continue;
    const dx = drawn(state.x, x), dy = drawn(state.y, y);
    const key = (Math.round(place(scales.x, dx, width) / 3) * 4096 + Math.round(place(scales.y, dy, height) / 3)) * 4 + data.status[i];
    const cell = cells.get(key);
    if (cell) cell.n += 1;
    else cells.set(key, {x: dx, y: dy, i, n: 1, status: data.statuses[data.status[i]]});
  }
  return [...cells.values()].sort((a, b) => (a.status === "fits") - (b.status === "fits"));
}

function scatterSpec(width) {
  const points = filtered(), best = front(points);
  const height = width < 500 ? 280 : 400;
  const scales = {x: scaleOf(state.x, points), y: scaleOf(state.y, points)};
  const at = (i) => ({x: drawn(state.x, state.x.values[i]), y: drawn(state.y, state.y.values[i]), i});
  const line = {x: {scale: "x", field: "x"}, y: {scale: "y", field: "y"}};
  return {
    height,
    data: [{name: "dots", values: dots(points, scales, width, height)}, {name: "front", values: best.map(at)}],
    scales: [
      {name: "x", range: "width", ...scales.x}, {name: "y", range: "height", ...scales.y},
      {name: "color", type: "ordinal", domain: data.statuses, range: statusColor.map(color)},
    ],
    axes: [
      {orient: "bottom", scale: "x", grid: true, title: axisTitle(state.x), tickCount: {signal: "width / 90"}},
      {orient: "left", scale: "y", grid: true, title: width < 500 ? state.y.title : axisTitle(state.y), tickCount: 6},
    ].map((axis) => ({...axis, labelOverlap: true, encode: {labels: {update: {text: {signal: "format(datum.value, ',.4~r')"}}}}})),
    marks: [
      {type: "symbol", from: {data: "dots"}, encode: {update: {...line, fill: {scale: "color", field: "status"},
        fillOpacity: {value: 0.45}, size: {signal: "18 + 10 * log(datum.n)"}}}},
      {type: "line", from: {data: "front"}, interactive: false, encode: {update: {...line, stroke: {value: color("accent")}, strokeWidth: {value: 2},
        interpolate: {value: (state.x.smaller ? "step-after" : "step-before")}}}},
      {type: "symbol", from: {data: "front"}, encode: {update: {...line, fill: {value: color("accent")}, stroke: {value: color("card")},
        size: {value: 95}}}},
    ],
  };
}

function scatterTip(datum) {
  const i = datum.i;
  return [el("strong", {}, data.labels ? data.labels[i] : `point ${data.index[i]}`),
    el("div", {class: "soft"}, data.statuses[data.status[i]] + (datum.n > 1 ? `; ${datum.n - 1} more here` : "")),
    el("table", {}, axes.map((axis) => el("tr", {}, el("td", {}, axis.name), el("td", {}, axis.values[axis.index[i]]))),
      usable.map((figure) => el("tr", {}, el("td", {}, figure.title), el("td", {}, figureText(figure, figure.values[i]))))),
    data.bottleneck && el("div", {class: "soft"}, data.bottleneck.names[data.bottleneck.index[i]])].filter(Boolean);
}

/** A rectangle over the scatter; inside of it the table, the counts and the heat map. */
function brushable(own) {
  const {box} = own;
  const rectangle = el("div", {class: "brush", hidden: ""});
  let from = null;
  const place = (event) => {
    const corner = own.corner();
    return {px: event.clientX - box.getBoundingClientRect().left, py: event.clientY - box.getBoundingClientRect().top,
      x: event.clientX - corner.x, y: event.clientY - corner.y};
  };
  box.addEventListener("pointerdown", (event) => {
    from = place(event);
    box.append(rectangle);
  });
  addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = place(event);
    rectangle.hidden = Math.hypot(to.px - from.px, to.py - from.py) < 5;
    Object.assign(rectangle.style, {left: Math.min(from.px, to.px) + "px", top: Math.min(from.py, to.py) + "px", bottom: "auto",
      width: Math.abs(to.px - from.px) + "px", height: Math.abs(to.py - from.py) + "px"});
  });
  addEventListener("pointerup", (event) => {
    if (!from) return;
    const to = place(event), start = from;
    from = null;
    if (Math.hypot(to.px - start.px, to.py - start.py) < 5) {
      rectangle.hidden = true;
      if (state.brush) setBrush(null);
      return;
    }
    const range = (scale, a, b, figure) => [scale.invert(a), scale.invert(b)].sort((p, q) => p - q).map((v) => (figure.unit === "bytes" ? v * 2 ** 30 : v));
    setBrush({x: range(own.view.scale("x"), start.x, to.x, state.x), y: range(own.view.scale("y"), start.y, to.y, state.y)});
  });
  own.clearBrush = () => { rectangle.hidden = true; };
}

function setBrush(brush) {
  state.brush = brush;
  if (!brush) charts.scatter.clearBrush?.();
  showSelection();
}

// --- the heat map ---------------------------------------------------------------------------------------------------

const long = axes.map((axis, a) => a).filter((a) => axes[a].values.length > 1).sort((a, b) => axes[b].values.length - axes[a].values.length);
const heat = {a: long[0] ?? 0, b: long[1] ?? long[0] ?? 0, figure: state.y};

/** The best point that fits for each pair of values; a cell without one is empty. */
function heatCells() {
  const best = new Map();
  for (const i of brushed(filtered())) {
    const value = heat.figure.values[i];
    if (data.status[i] !== fits || value === null) continue;
    const key = `${axes[heat.a].index[i]} ${axes[heat.b].index[i]}`;
    const before = best.get(key);
    if (before === undefined || (heat.figure.smaller ? value < heat.figure.values[before] : value > heat.figure.values[before])) best.set(key, i);
  }
  return [...best.values()].map((i) => ({a: axes[heat.a].values[axes[heat.a].index[i]], b: axes[heat.b].values[axes[heat.b].index[i]],
    value: heat.figure.values[i], label: figureText(heat.figure, heat.figure.values[i]), i}));
}

function heatSpec(width) {
  const cells = heatCells(), {values} = axes[heat.b];
  const room = width / axes[heat.a].values.length;
  const low = Math.min(...cells.map((c) => c.value)), high = Math.max(...cells.map((c) => c.value));
  const span = low > 0 && high / low > 30 ? "log" : "linear";
  return {
    height: Math.max(60, Math.min(34, 900 / values.length) * values.length),
    data: [{name: "cells", values: cells}],
    scales: [
      {name: "x", type: "band", domain: axes[heat.a].values, range: "width", padding: 0.04},
      {name: "y", type: "band", domain: values, range: "height", padding: 0.04},
      {name: "heat", type: span, domain: cells.length ? [low, high] : [0, 1], range: heat.figure.smaller ? [color("good"), color("heat-low")] : [color("heat-low"), color("good")],
        interpolate: "lab", zero: false},
    ],
    axes: [
      {orient: "bottom", scale: "x", domain: false, ticks: false, title: axes[heat.a].name, labelOverlap: true, labelLimit: Math.max(60, room * 1.5), labelAngle: room < 60 ? -40 : 0, labelAlign: room < 60 ? "right" : "center"},
      {orient: "left", scale: "y", domain: false, ticks: false, title: axes[heat.b].name, labelLimit: width < 500 ? 90 : 190},
    ],
    marks: [
      {type: "rect", from: {data: "cells"}, encode: {update: {x: {scale: "x", field: "a"}, width: {scale: "x", band: 1}, y: {scale: "y", field: "b"},
        height: {scale: "y", band: 1}, fill: {scale: "heat", field: "value"}, cornerRadius: {value: 3}}}},
      {type: "text", from: {data: "cells"}, interactive: false, encode: {update: {x: {scale: "x", field: "a", band: 0.5}, y: {scale: "y", field: "b", band: 0.5},
        align: {value: "center"}, baseline: {value: "middle"}, fontSize: {value: 11}, fill: {signal: `luminance(scale('heat', datum.value)) > 0.3 ? '#16202b' : '#ffffff'`},
        text: {signal: `bandwidth('x') > 6.4 * length(datum.label) + 4 && bandwidth('y') > 13 ? datum.label : ''`}}}},
    ],
  };
}

// --- filters --------------------------------------------------------------------------------------------------------

const counts = axes.map((axis) => axis.values.map(() => el("span", {class: "soft"})));

function filters() {
  const shown = axes.map((axis, a) => a).filter((a) => axes[a].values.length > 1);
  return el("div", {class: "pair filters"}, shown.map((a) => el("fieldset", {}, el("legend", {}, axes[a].name,
    " ", el("button", {type: "button", class: "all", click: () => {
      const all = state.off[a].size > 0;
      state.off[a] = new Set(all ? [] : axes[a].values.map((_, v) => v));
      checksOf(a).forEach((check) => { check.checked = all; });
      refresh();
    }}, "all or none")),
  axes[a].values.map((value, v) => el("label", {}, el("input", {type: "checkbox", checked: "", "data-axis": a, "data-value": v, change: (event) => {
    event.target.checked ? state.off[a].delete(v) : state.off[a].add(v);
    refresh();
  }}), " ", value, " ", counts[a][v])))));
}
const checksOf = (a) => document.querySelectorAll(`input[data-axis="${a}"]`);

function only(a, v) {
  state.off[a] = new Set(axes[a].values.map((_, k) => k).filter((k) => k !== v));
  checksOf(a).forEach((check, k) => { check.checked = k === v; });
}

// --- the table ------------------------------------------------------------------------------------------------------

const mostRows = 20;
const summary = el("p", {id: "selection", "aria-live": "polite"});
const tablePlace = el("div", {}), commandPlace = el("pre", {class: "command", id: "point-command", hidden: ""});
let sortBy = null;

function selectionTable(points, best) {
  const key = sortBy || state.y, sign = key.smaller ? 1 : -1;
  const value = (i) => (key.values[i] === null ? Infinity : sign * key.values[i]);
  const rows = [...points].sort((a, b) => (data.status[a] !== fits) - (data.status[b] !== fits) || value(a) - value(b)).slice(0, mostRows);
  const onFront = new Set(best);
  const headOf = (figure) => el("button", {type: "button", class: "sort", "aria-pressed": String(figure === key), click: () => {
    sortBy = figure;
    showSelection();
  }}, figure.title + (figure === key ? " ▾" : ""));
  return table([
    {head: "", text: true, cell: (i) => el("button", {type: "button", class: "sort", "aria-label": `command of point ${data.index[i]}`, click: () => {
      commandPlace.hidden = false;
      commandPlace.textContent = commandOf(i);
      commandPlace.scrollIntoView({block: "nearest"});
    }}, (onFront.has(i) ? "★ " : "") + (data.labels ? data.labels[i] : data.index[i]))},
    ...axes.filter((axis) => axis.values.length > 1).map((axis) => ({head: axis.name, text: true, cell: (i) => axis.values[axis.index[i]]})),
    {head: "", text: true, cell: (i) => data.statuses[data.status[i]]},
    ...usable.map((figure) => ({head: headOf(figure), cell: (i) => figureText(figure, figure.values[i])})),
  ], rows, (i) => onFront.has(i) && "chosen");
}

/** What depends on the brush: counts, table and heat map. */
function showSelection() {
  const points = brushed(filtered()), best = front(points);
  const fitting = points.filter((i) => data.status[i] === fits).length;
  summary.replaceChildren(el("strong", {}, text.digits(points.length)), ` of ${text.digits(count)} points`,
    state.brush ? " inside the brush" : "", `, ${text.digits(fitting)} fit`, points.length > mostRows ? `; the first ${mostRows} by ${(sortBy || state.y).title}` : "");
  tablePlace.replaceChildren(selectionTable(points, best));
  const tally = axes.map((axis) => axis.values.map(() => 0));
  for (const i of points) axes.forEach((axis, a) => { tally[a][axis.index[i]] += 1; });
  tally.forEach((of, a) => of.forEach((n, v) => { counts[a][v].textContent = text.digits(n); }));
  if (charts.heat?.view) charts.heat.draw();
}

function refresh() {
  state.brush = null;
  charts.scatter.clearBrush?.();
  charts.scatter.draw();
  showSelection();
}

// --- the page -------------------------------------------------------------------------------------------------------

function pick(label, options, chosen, choose) {
  return el("label", {class: "pick"}, label + " ", el("select", {"aria-label": label, change: (event) => choose(event.target.selectedIndex)},
    options.map((name, i) => el("option", i === chosen ? {selected: ""} : {}, name))));
}

function bestTiles() {
  const names = [...new Set([...data.objectives, "peak_used_bytes", "step_time_s", "usd_per_million_tokens", "hours", "rent_usd"])];
  const tiles = names.map(figureOf).filter((figure) => figure && has(figure)).slice(0, 4).map((figure) => {
    let best = null;
    for (let i = 0; i < count; ++i) {
      const value = figure.values[i];
      if (data.status[i] !== fits || value === null || value === undefined) continue;
      if (best === null || (figure.smaller ? value < figure.values[best] : value > figure.values[best])) best = i;
    }
    return best !== null && el("div", {class: "card tile"}, el("h2", {}, `${figure.smaller ? "least" : "most"} ${figure.title}`),
      el("div", {class: "figure"}, figureText(figure, figure.values[best])),
      data.labels && el("p", {}, data.labels[best]), el("p", {class: "soft"}, settings(best)));
  });
  return el("div", {class: "tiles"}, tiles);
}

const titles = usable.map((figure) => figure.title);
const scatter = chart("scatter", "All points by two figures; the line joins those that fit and that no other beats in both.", {
  spec: scatterSpec,
  hover(x, item, event) {
    if (item?.datum?.i === undefined) return tip.hide();
    return tip.show(event.clientX, event.clientY, ...scatterTip(item.datum));
  },
});
brushable(charts.scatter);
const heatMap = chart("heat", "The best point for each pair of values of two axes.", {
  spec: heatSpec,
  hover(x, item, event) {
    if (item?.datum?.i === undefined) return tip.hide();
    return tip.show(event.clientX, event.clientY, ...scatterTip({i: item.datum.i, n: 1}));
  },
  click(item) {
    if (item?.datum?.i === undefined) return;
    for (const a of [heat.a, heat.b]) only(a, axes[a].index[item.datum.i]);
    refresh();
  },
});

const names = axes.map((axis) => axis.name);
document.getElementById("report").append(...[
  el("header", {}, el("div", {class: "verdict"},
    el("span", {class: "badge " + (data.answered ? "good" : "bad")}, data.verdict), el("h1", {}, data.headline)),
  el("p", {class: "soft"}, data.subtitle)),
  bestTiles(),
  section("trade", "What costs what",
    el("p", {class: "soft"}, "Blue: what fits and no other beats in both. Drag a rectangle to look at the points inside; a click clears it."),
    el("div", {class: "tools"},
      pick("across", titles, usable.indexOf(state.x), (i) => { state.x = usable[i]; refresh(); }),
      pick("up", titles, usable.indexOf(state.y), (i) => { state.y = usable[i]; refresh(); }),
      el("label", {class: "pick"}, el("input", {type: "checkbox", id: "only-fits", change: (event) => { state.onlyFits = event.target.checked; refresh(); }}), " only what fits")),
    el("ul", {class: "keys"}, data.statuses.map((status, s) => data.status.includes(s) && el("li", {}, swatch(statusColor[s]), status))),
    scatter, el("h3", {}, "Filters"), filters(),
    el("div", {class: "tools"}, el("button", {type: "button", id: "reset", click: () => {
      axes.forEach((axis, a) => { state.off[a].clear(); checksOf(a).forEach((check) => { check.checked = true; }); });
      refresh();
    }}, "all points"))),
  section("selected", "The points", summary, tablePlace, el("p", {class: "soft"}, "★ no other beats it in both; its name shows the command that runs it."), commandPlace),
  long.length > 1 && section("two", "Two axes",
    el("div", {class: "tools"}, pick("across", names, heat.a, (i) => { heat.a = i; charts.heat.draw(); }), pick("down", names, heat.b, (i) => { heat.b = i; charts.heat.draw(); }),
      pick("best", titles, usable.indexOf(heat.figure), (i) => { heat.figure = usable[i]; charts.heat.draw(); })),
    heatMap, el("p", {class: "soft"}, "Each cell: the best point that fits with these two values. Empty: none fits. A click filters by both.")),
  data.notes.length > 0 && section("notes", "Notes", el("ul", {class: "plain"}, data.notes.map((note) => el("li", {}, note)))),
  section("command", "The command", el("pre", {class: "command"}, data.command)),
].filter(Boolean));
showSelection();
drawAll();
