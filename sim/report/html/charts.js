"use strict";
// What reports of one run and of many share: elements, numbers as text, tables, and charts that are zoomed with the
// mouse, a finger or the keyboard. A chart is a Vega view in a <div class="chart">.

/** An element with attributes (functions are listeners) and children (texts or elements; false is left out). */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child !== false && child !== undefined && child !== null));
  return element;
}

/** Numbers as the text report writes them. */
const text = {
  digits(number, places = 0) {
    const [whole, rest] = Math.abs(number).toFixed(places).split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u2009");
    return (number < 0 ? "\u2212" : "") + grouped + (rest ? "." + rest : "");
  },
  /** From MiB. */
  memory(mib) {
    if (Math.abs(mib) >= 1024) return text.digits(mib / 1024, Math.abs(mib) < 102400 ? 2 : 1) + " GiB";
    return text.digits(mib, Math.abs(mib) < 10 ? 1 : 0) + " MiB";
  },
  gib: (bytes, places = 1) => text.digits(bytes / 2 ** 30, places),
  time(seconds) {
    const size = Math.abs(seconds);
    if (size >= 0.9995) return text.digits(seconds, size < 100 ? 3 : 1) + " s";
    if (size >= 0.9995e-3) return text.digits(seconds * 1e3, 2) + " ms";
    return text.digits(seconds * 1e6, 1) + " µs";
  },
  hours(hours) {
    if (hours < 1) return text.digits(hours * 60, 1) + " min";
    return hours < 48 ? text.digits(hours, 1) + " h" : text.digits(hours / 24, 1) + " days";
  },
  percent: (part, places = 1) => text.digits(part * 100, places) + " %",
  bytes(bytes) {
    if (bytes >= 1e9) return text.digits(bytes / 1e9, 2) + " GB";
    return bytes >= 1e6 ? text.digits(bytes / 1e6, 1) + " MB" : text.digits(bytes / 1e3, 1) + " kB";
  },
  rate: (bytes) => text.digits(bytes / 1e9, 1) + " GB/s",
  short(number) {
    if (number === null || number === undefined) return "–";
    const size = Math.abs(number);
    if (size >= 1000) return text.digits(number);
    return size === 0 ? "0" : String(Number(number.toPrecision(3)));
  },
  name: (name) => name.replaceAll("_", " "),
};

/** A colour of style.css as it is now, light or dark. */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

const swatch = (name) => el("span", {class: "swatch", style: `background: var(--${name})`});

/** Columns are {head, cell(row), text?}; rows may name a class. */
function table(columns, rows, classOf = () => false) {
  return el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "table"},
    el("table", {},
      el("thead", {}, el("tr", {}, columns.map((c) => el("th", {class: c.text && "text", scope: "col"}, c.head)))),
      el("tbody", {}, rows.map((row) => el("tr", {class: classOf(row)},
        columns.map((c) => el("td", {class: c.text && "text"}, c.cell(row))))))));
}

/** Buttons of which one is pressed. */
function choice(label, names, chosen, choose) {
  const buttons = names.map((name, i) => el("button", {
    type: "button",
    "aria-pressed": String(i === chosen),
    click() {
      buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === i)));
      choose(i);
    },
  }, name));
  return el("div", {class: "tools", role: "group", "aria-label": label}, buttons);
}

/** Buttons that each show or hide something; `change` gets the set of the hidden names. */
function legend(names, colorOf, change) {
  const hidden = new Set();
  return el("div", {class: "tools legend", role: "group", "aria-label": "legend: press to hide or show"},
    names.map((name) => el("button", {
      type: "button",
      "aria-pressed": "true",
      "data-name": name,
      click(event) {
        hidden.has(name) ? hidden.delete(name) : hidden.add(name);
        event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(name)));
        change(hidden);
      },
    }, swatch(colorOf(name)), text.name(name))));
}

const tip = {
  box: el("div", {class: "tip", role: "status", hidden: ""}),
  show(x, y, ...content) {
    tip.box.replaceChildren(...content);
    tip.box.hidden = false;
    const {width, height} = tip.box.getBoundingClientRect();
    tip.box.style.left = Math.max(4, Math.min(x + 16, innerWidth - width - 4)) + "px";
    tip.box.style.top = (y + height + 20 > innerHeight ? Math.max(4, y - height - 12) : y + 16) + "px";
  },
  hide() {
    tip.box.hidden = true;
  },
};
document.body.append(tip.box);

/** All charts by name: what redraws them, and what a test asks. */
const charts = {};

/** Vega's configuration in the page's colours. */
function look() {
  const axis = {
    domainColor: color("line"), tickColor: color("line"), gridColor: color("grid"), labelColor: color("soft"),
    titleColor: color("soft"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelPadding: 5,
  };
  return {axis, text: {fill: color("ink"), fontSize: 12}, background: null};
}

/**
 * Draws `spec(width)` into a new <div>, again when its width or the colours change. The spec's signal `domain` (where it
 * has one) is what is shown of the x axis: it is kept, dragging chooses a part of it, a double click shows all, and so
 * do the keys + - 0 and the arrows. `hover(x, item, event)` shows the tooltip, with x in the axis' units.
 */
function chart(name, label, {spec, hover, click, keep = ["domain"], whole}) {
  const box = el("div", {class: "chart", id: "chart-" + name, role: "img", tabindex: 0, "aria-label": label});
  const own = {name, box, view: null, width: 0, whole};
  charts[name] = own;

  own.draw = () => {
    const width = Math.max(260, Math.floor(box.clientWidth));
    const kept = {};
    if (own.view) {
      for (const signal of keep) {
        try { kept[signal] = own.view.signal(signal); } catch { /* this chart has none */ }
      }
      own.view.finalize();
    }
    own.width = width;
    const described = spec(width);
    own.view = new vega.View(vega.parse({$schema: "https://vega.github.io/schema/vega/v5.json", width, padding: 4,
      autosize: {type: "fit-x", contains: "padding"}, ...described}, look()), {renderer: "canvas", container: box, hover: false});
    own.view.logLevel(vega.Warn);
    for (const [signal, value] of Object.entries(kept)) if (value) own.view.signal(signal, value);
    own.view.run();
    if (hover) {
      own.view.addEventListener("mousemove", (event, item) => {
        const x = own.view.scale("x") ? own.view.scale("x").invert?.(own.at(event)) : null;
        hover(x, item, event);
      });
    }
    if (click) own.view.addEventListener("click", (event, item) => click(item, event));
  };
  if (hover) box.addEventListener("mouseleave", tip.hide);
  /** Where the plot begins in the window: its left and upper edge. */
  own.corner = () => {
    const canvas = box.querySelector("canvas").getBoundingClientRect(), {left, top} = own.view.padding();
    return {x: canvas.left + left + own.view.origin()[0], y: canvas.top + top + own.view.origin()[1]};
  };
  /** Where an event happened, in pixels of the plot. */
  own.at = (event) => event.clientX - own.corner().x;
  own.domain = (domain) => {
    if (domain) own.view.signal("domain", domain).run();
    return own.view.signal("domain");
  };
  if (whole) zoomable(own);
  return box;
}

/** Lets the user choose a part of the x axis. Charts with the same `whole` object move together. */
function zoomable(own) {
  const set = (begin, end) => {
    const [first, last] = own.whole.range;
    const length = Math.min(Math.max(end - begin, (last - first) * 1e-6), last - first);
    const from = Math.min(Math.max(begin, first), last - length);
    for (const other of Object.values(charts)) if (other.whole === own.whole && other.view) other.domain([from, from + length]);
  };
  own.zoom = (factor) => {
    const [a, b] = own.domain();
    set((a + b) / 2 - (b - a) * factor / 2, (a + b) / 2 + (b - a) * factor / 2);
  };
  own.pan = (part) => {
    const [a, b] = own.domain();
    set(a + (b - a) * part, b + (b - a) * part);
  };
  own.show = set;
  own.reset = () => set(...own.whole.range);
  const keys = {"+": () => own.zoom(0.5), "=": () => own.zoom(0.5), "-": () => own.zoom(2), "0": () => own.reset(),
    ArrowLeft: () => own.pan(-0.25), ArrowRight: () => own.pan(0.25)};
  own.box.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    keys[event.key]();
    event.preventDefault();
  });
  let from = null;
  const brush = el("div", {class: "brush", hidden: ""});
  const left = (event) => event.clientX - own.box.getBoundingClientRect().left;
  own.box.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") return;
    from = {at: own.at(event), left: left(event)};
    own.box.append(brush);
  });
  addEventListener("pointermove", (event) => {
    if (!from) return;
    brush.hidden = Math.abs(left(event) - from.left) < 4;
    brush.style.left = Math.min(left(event), from.left) + "px";
    brush.style.width = Math.abs(left(event) - from.left) + "px";
  });
  addEventListener("pointerup", (event) => {
    if (!from) return;
    const x = own.view.scale("x"), to = own.at(event);
    if (Math.abs(to - from.at) >= 4) set(x.invert(Math.min(to, from.at)), x.invert(Math.max(to, from.at)));
    from = null;
    brush.hidden = true;
  });
  own.box.addEventListener("dblclick", own.reset);
}

/** Buttons that zoom a chart. */
function zoomTools(name) {
  const button = (label, sign, act) => el("button", {type: "button", "aria-label": label, title: label, click: () => act(charts[name])}, sign);
  return [
    button("zoom in", "+", (c) => c.zoom(0.5)), button("zoom out", "−", (c) => c.zoom(2)),
    button("earlier", "‹", (c) => c.pan(-0.5)), button("later", "›", (c) => c.pan(0.5)),
    button("show all", "all", (c) => c.reset()),
  ];
}

/** Draws all charts once they stand in the page, and again when the page's width or colours change. */
function drawAll() {
  const redraw = () => Object.values(charts).forEach((own) => own.box.isConnected && own.draw());
  redraw();
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => Object.values(charts).some((own) => own.width !== Math.max(260, Math.floor(own.box.clientWidth))) && redraw(), 100);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const print = (on) => () => {
    document.documentElement.classList.toggle("printing", on);
    redraw();
  };
  addEventListener("beforeprint", print(true));
  addEventListener("afterprint", print(false));
}

/** A section of the page. */
const section = (id, heading, ...content) => el("section", {class: "card", id, "aria-labelledby": id + "-h"},
  el("h2", {id: id + "-h"}, heading), content);

/** A bar of parts {name, value, color, label}; `whole` is its full width, `limit` a place in it that is marked. */
function partsBar(parts, whole, label, limit) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  return [
    el("div", {class: "bar", role: "img", "aria-label": label},
      parts.map((p) => el("span", {style: `width: ${100 * p.value / whole}%; background: var(--${p.color})`, title: `${p.name}: ${p.label}`})),
      limit && el("i", {class: "limit", style: `left: ${100 * limit / whole}%`, title: "capacity"})),
    el("ul", {class: "keys"}, parts.filter((p) => p.value >= 0.004 * total).map((p) => el("li", {}, swatch(p.color), `${p.name} ${p.label}`))),
  ];
}

const data = JSON.parse(document.getElementById("data").textContent);
