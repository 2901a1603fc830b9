// A small curve of the last values. It is an ornament of the figure beside it, so screen readers are not told of it.

import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;
const PAD = 2;

export class Sparkline {
  #area = svg("path", { class: "spark-area" });
  #line = svg("path", { class: "spark-line" });
  node = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.#area, this.#line);

  /** Shows `values`, oldest first, null where nothing was measured; `capacity` of them fill the width. */
  update(values, capacity) {
    const { line, area } = sparkPaths(values, capacity);
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", area);
  }
}

/** The curve and the area under it, as SVG paths. It starts from zero, so that heights can be compared. */
export function sparkPaths(values, capacity) {
  const most = Math.max(...values.filter(Number.isFinite), 0);
  const y = (value) => HEIGHT - PAD - (most > 0 ? (value / most) * (HEIGHT - 2 * PAD) : 0);
  const x = (index) => WIDTH - ((values.length - 1 - index) * WIDTH) / (capacity - 1);
  const at = (index) => `${x(index).toFixed(1)} ${y(values[index]).toFixed(1)}`;
  const runs = runsOf(values);
  const floor = HEIGHT - PAD;
  return {
    line: runs.map(([first, last]) => `M${indices(first, last).map(at).join("L")}${first === last ? "h0.1" : ""}`).join(""),
    area: runs.map(([first, last]) => `M${x(first).toFixed(1)} ${floor}L${indices(first, last).map(at).join("L")}L${x(last).toFixed(1)} ${floor}Z`).join(""),
  };
}

/** First and last index of each stretch without a gap. */
function runsOf(values) {
  const runs = [];
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) return;
    const open = runs.at(-1);
    if (open && open[1] === index - 1) open[1] = index;
    else runs.push([index, index]);
  });
  return runs;
}

function indices(first, last) {
  return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
}
