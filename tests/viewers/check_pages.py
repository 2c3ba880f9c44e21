"""Do the report pages work in a browser?

usage: check_pages.py [--screenshots FOLDER] FILE.html...

Opens each page at 1400 and 400 pixels, light and dark. Nothing may reach the console, every chart must be drawn, nothing
may stick out sideways, and a legend entry, a hover, a zoom, a filter and a brush must do what they say.
"""
import os
import sys

from webdriver import Browser, NoBrowser

PLACE = """
const own = charts[arguments[0]], box = own.box;
box.scrollIntoView({block: 'center'});
return {...own.corner(), width: own.view.signal('width'), height: own.view.signal('height')};
"""

INK = """
const canvas = charts[arguments[0]].box.querySelector('canvas');
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const colors = new Set();
for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 0) colors.add((pixels[i] << 16) + (pixels[i + 1] << 8) + pixels[i + 2]);
return colors.size;
"""


class Page:
    def __init__(self, browser, path):
        self.browser, self.path, self.faults = browser, path, []

    def check(self, holds, *what):
        if not holds:
            self.faults.append(" ".join(str(word) for word in what))

    def rows(self, chart, data):
        return self.browser.run("return charts[arguments[0]].view.data(arguments[1]).length", chart, data)

    def tip(self):
        return self.browser.run("return tip.box.hidden ? '' : tip.box.textContent")

    def look(self, width, dark, shots):
        self.browser.open(self.path, width, dark)
        self.check(not (said := self.browser.complaints()), "the console says", said)
        names = self.browser.run("return Object.keys(charts).filter(name => charts[name].box.offsetParent)")
        self.check(len(names) >= 2, "only these charts:", names)
        for name in names:
            colors = self.browser.run(INK, name)
            self.check(colors > 3, "the chart", name, "is empty at", width, ":", colors, "colours")
        wide = self.browser.run("return document.documentElement.scrollWidth")
        self.check(wide <= width, "the page is", wide, "wide in a window of", width)
        for bad in ("NaN", "undefined", "Infinity", "[object"):
            self.check(not self.browser.run("return document.getElementById('report').textContent.includes(arguments[0])", bad),
                       "the page says", bad)
        if shots:
            name = os.path.splitext(os.path.basename(self.path))[0]
            self.browser.screenshot(os.path.join(shots, f"{name}-{width}{'-dark' if dark else ''}.png"))

    def use_run(self):
        """The page of one run."""
        browser = self.browser
        headline = browser.run("return document.querySelector('.badge').textContent")
        self.check("FIT" in headline, "the verdict is", headline)

        legend = "#memory .legend button"
        before, name = self.rows("memory-0", "rows"), browser.run(f"return document.querySelector('{legend}').dataset.name")
        browser.click(legend)
        self.check(browser.run(f"return document.querySelector('{legend}').getAttribute('aria-pressed')") == "false",
                   "the legend's button does not say that it is off")
        self.check(0 < self.rows("memory-0", "rows") < before, "the legend does not hide", name)
        browser.click(legend)
        self.check(self.rows("memory-0", "rows") == before, "the legend does not bring back", name)

        at = browser.run("const m = data.memory[0]; return charts['memory-0'].view.scale('x')(m.peak.t)")
        plot = browser.run(PLACE, "memory-0")
        browser.pointer(("move", plot["x"] + min(max(at, 3), plot["width"] - 3), plot["y"] + plot["height"] / 2))
        said = self.tip()
        self.check("largest tensors" in said and "together" in said, "hovering over the peak says", repr(said))

        first = browser.run("return charts['memory-0'].domain()")
        browser.pointer(("move", plot["x"] + plot["width"] * 0.4, plot["y"] + 100), ("down",),
                        ("move", plot["x"] + plot["width"] * 0.6, plot["y"] + 100), ("up",))
        second = browser.run("return charts['memory-0'].domain()")
        part = (second[1] - second[0]) / (first[1] - first[0])
        self.check(0.15 < part < 0.25, "dragging over a fifth shows", part)
        browser.run("charts['memory-0'].box.focus(); charts['memory-0'].box.dispatchEvent(new KeyboardEvent('keydown', {key: '0'}))")
        self.check(browser.run("return charts['memory-0'].domain()") == first, "the key 0 does not show all")

        before = self.rows("timeline", "slices")
        browser.click("#step .legend button[data-name=compute]")
        self.check(self.rows("timeline", "slices") < before, "the timeline's legend hides nothing")
        browser.click("#step .legend button[data-name=compute]")
        browser.run("charts.timeline.zoom(0.1)")
        self.check(self.rows("timeline", "slices") < before, "zooming the timeline shows as much as before")
        if browser.run("return Boolean(charts.links)"):
            self.check(browser.run("return charts.links.domain()[0] === charts.timeline.domain()[0]"),
                       "the links do not move with the timeline")
        browser.run("charts.timeline.reset()")
        longest = browser.run(
            "const rows = charts.timeline.view.data('slices'); const r = rows.reduce((a, b) => b.end - b.begin > a.end - a.begin ? b : a);"
            "const v = charts.timeline.view; return [v.scale('x')((r.begin + r.end) / 2), v.scale('y')(r.track) + 5, r.name]")
        plot = browser.run(PLACE, "timeline")
        browser.pointer(("move", plot["x"] + longest[0], plot["y"] + longest[1]))
        self.check(longest[2] in self.tip(), "hovering over", longest[2], "says", repr(self.tip()))
        step, path = browser.run("const g = data.timeline.groups[Math.min(data.timeline.slowest, data.timeline.groups.length - 1)];"
                                 "return [data.timeline.end - data.timeline.begin, g.critical.reduce((s, [, a, b]) => s + b - a, 0)]")
        self.check(0.99 * step < path <= step * 1.0001, "the critical path covers", path, "of", step)

    def use_points(self):
        """The page of a sweep or a plan."""
        browser = self.browser

        def selected():
            return int("".join(c for c in browser.run("return document.querySelector('#selection strong').textContent") if c.isdigit()))

        everything = selected()
        self.check(everything == browser.run("return data.status.length"), "not all points are there at first:", everything)
        browser.click(".filters input[type=checkbox]")
        some = selected()
        self.check(0 < some < everything, "a filter leaves", some, "of", everything)
        browser.click("#reset")
        self.check(selected() == everything, "not all points come back")
        plot = browser.run(PLACE, "scatter")
        browser.pointer(("move", plot["x"] + 4, plot["y"] + 4), ("down",),
                        ("move", plot["x"] + plot["width"] * 0.5, plot["y"] + plot["height"] * 0.999), ("up",))
        some = selected()
        self.check(0 < some < everything, "a brush over the left half leaves", some, "of", everything)
        browser.pointer(("move", plot["x"] + plot["width"] * 0.9, plot["y"] + 10), ("down",), ("up",))
        self.check(selected() == everything, "a click does not clear the brush")
        best = browser.run("const f = charts.scatter.view.data('front')[0], v = charts.scatter.view; return f ? [v.scale('x')(f.x), v.scale('y')(f.y)] : null")
        self.check(best is not None, "there is no Pareto front")
        if best:
            plot = browser.run(PLACE, "scatter")
            browser.pointer(("move", plot["x"] + best[0], plot["y"] + best[1]))
            self.check("fits" in self.tip(), "hovering over the front says", repr(self.tip()))
        if browser.run("return Boolean(charts.heat && charts.heat.view)"):
            self.check(self.rows("heat", "cells") > 1, "the heat map is empty")
        browser.click("#selected tbody button")
        command = browser.run("return document.querySelector('#point-command').textContent")
        self.check(command.startswith("shardsim "), "the command of a point is", command)
        slow = browser.run("const begin = performance.now(); for (let k = 0; k < 5; ++k) refresh(); return (performance.now() - begin) / 5")
        self.check(slow < 1000, "a filter takes", slow, "ms")


def main(arguments):
    shots = None
    if arguments[0] == "--screenshots":
        shots, arguments = arguments[1], arguments[2:]
    failed = False
    with Browser() as browser:
        for path in arguments:
            page = Page(browser, os.path.abspath(path))
            for width, dark in ((400, False), (1400, True), (1400, False)):
                page.look(width, dark, shots)
            page.use_points() if browser.run("return 'axes' in data") else page.use_run()
            page.check(not (said := browser.complaints()), "using it, the console says", said)
            for fault in page.faults:
                print(f"{os.path.basename(path)}: {fault}")
            failed = failed or bool(page.faults)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except NoBrowser as reason:
        print("Chromium does not start:", reason)
        sys.exit(77)
