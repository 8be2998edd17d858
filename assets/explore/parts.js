// What the figures are put together from: a body, drawings, charts, a table of numbers, a spoken summary.
import { axisBottom, axisLeft, scaleLinear, scaleLog, select } from "./vendor/d3.js";

const MINUS = "\u2212";
const PAUSE = 600; // ms without a change before the summary is spoken
const ROOM = 6; // to the right of a chart, for a dot at its edge
const MARGIN = { left: 38, right: 12, top: 26, bottom: 40 }; // of a chart: room for its axes and its title

/** A number with that many digits after the point, and a real minus sign. */
export function fixed(x, digits) {
  return Math.abs(x).toFixed(digits).replace(/^/, x < 0 && Number(x.toFixed(digits)) !== 0 ? MINUS : "");
}

/** `a ± s` as the book prints it: s with three significant digits, a with as many digits after the point. */
export function plusMinus(mean, error) {
  if (!(error > 0)) return fixed(mean, 2);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Number(error.toPrecision(3)))));
  return `${fixed(mean, digits)} ± ${fixed(error, digits)}`;
}

/** The part of the element that scripts make; `label` names it for readers who cannot see it. */
export function body(element, label) {
  return select(element).append("div").attr("class", "explore-body").attr("role", "group").attr("aria-label", label);
}

/** A row for drawings that stand side by side where there is room. */
export function row(parent) {
  return parent.append("div").attr("class", "explore-row");
}

/**
 * An SVG as wide as its place, and as high as `height(width)` says. `draw(scene, width)` fills its group, at first, when
 * the width changes and at each `update`; `describe()` gives its text alternative. What a finger holds must outlive that,
 * and is appended to `svg`.
 */
export function drawing(parent, { height, describe, draw }) {
  const svg = parent.append("svg").attr("class", "explore-drawing").attr("role", "img");
  const scene = svg.append("g");
  let width = 0;
  function update() {
    width ||= Math.round(svg.node().getBoundingClientRect().width); // so the figure is whole from the start
    if (!width) return;
    const high = typeof height === "function" ? height(width) : height;
    svg.attr("height", high).attr("viewBox", `0 0 ${width} ${high}`).attr("aria-label", describe());
    scene.selectAll("*").remove();
    draw(scene, width);
  }
  new ResizeObserver(([entry]) => {
    const found = Math.round(entry.contentRect.width);
    if (found === width) return;
    width = found;
    update();
  }).observe(svg.node());
  return { svg, update };
}

/** The points of an SVG polyline or polygon. */
export function points(pairs) {
  return pairs.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
}

/** A straight line between two points. */
export function line(parent, kind, [x1, y1], [x2, y2]) {
  return parent.append("line").attr("class", kind).attr("x1", x1).attr("y1", y1).attr("x2", x2).attr("y2", y2);
}

/** A line through many points. */
export function curve(parent, kind, pairs) {
  return parent.append("polyline").attr("class", kind).attr("points", points(pairs));
}

/** A disc. */
export function disc(parent, kind, [x, y], r) {
  return parent.append("circle").attr("class", kind).attr("cx", x).attr("cy", y).attr("r", r);
}

/**
 * A word or two; `kind` may hold `is-middle` or `is-end`. A letter on its own is a variable and stands in italics, unless
 * `kind` holds `is-program`.
 */
export function label(parent, kind, [x, y], text) {
  const place = parent.append("text").attr("class", `explore-label ${kind}`).attr("x", x).attr("y", y);
  const parts = kind.includes("is-program") ? [text] : text.split(/(?<![\p{L}.])([a-zA-Z])(?![\p{L}.])/u);
  parts.forEach((part, i) => place.append("tspan").attr("class", i % 2 ? "explore-variable" : null).text(part));
  return place;
}

/**
 * The axes of a chart in a box of the drawing, with a title above and the name of the horizontal axis below. Each of
 * `x` and `y` has a `domain`, `ticks`, perhaps `log: true`, a `format`, and x a `name`. Returns both scales, which end at
 * the edge of the chart, and the group to draw in, which cuts off what lies beyond it.
 */
export function chart(svg, { left = 0, top = 0, width, height, title, x, y }) {
  const scale = (axis) => (axis.log ? scaleLog : scaleLinear)().domain(axis.domain);
  const across = scale(x).range([left + MARGIN.left, left + width - MARGIN.right]);
  const up = scale(y).range([top + height - (x.name ? MARGIN.bottom : MARGIN.bottom - 18), top + MARGIN.top]);
  const [foot, head] = up.range();
  const inside = svg.append("svg").attr("class", "explore-inside").attr("x", across.range()[0]).attr("y", head);
  const [wide, high] = [across.range()[1] - across.range()[0] + ROOM, foot - head];
  inside.attr("width", wide).attr("height", high).attr("viewBox", `${across.range()[0]} ${head} ${wide} ${high}`);
  const below = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(0,${foot})`);
  const written = (axis) => (value) => (axis.format ?? String)(value).replace("-", MINUS);
  below.call(axisBottom(across).tickValues(x.ticks).tickFormat(written(x)).tickSize(4));
  const beside = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(${across.range()[0]},0)`);
  beside.call(axisLeft(up).tickValues(y.ticks).tickFormat(written(y)).tickSize(4));
  if (title) label(svg, "", [left, top + 14], title);
  if (x.name) label(svg, "is-middle", [(across.range()[0] + across.range()[1]) / 2, top + height - 6], x.name);
  return { x: across, y: up, inside };
}

/** Lets a finger or the mouse take a group of a drawing: `move([x, y])` gets each place to which it is taken. */
export function draggable(svg, group, move) {
  // touch-action does not reach into an SVG in every browser; without this a finger would scroll the page
  group.on("touchstart", (event) => event.preventDefault(), { passive: false });
  group.on("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    event.preventDefault();
    svg.node().setPointerCapture(event.pointerId);
    svg.on("pointermove", (moved) => {
      const box = svg.node().getBoundingClientRect();
      move([moved.clientX - box.left, moved.clientY - box.top]);
    });
    const ends = "pointerup pointercancel lostpointercapture";
    svg.on(ends, () => svg.on(`pointermove ${ends}`, null));
  });
}

/**
 * A small table. `columns` are its heads; `rows` pair the class of a row's mark with its head; `set` fills it with
 * one list of texts a row.
 */
export function numbers(parent, caption, columns, rows) {
  const table = parent.append("table").attr("class", "explore-numbers");
  table.append("caption").attr("class", "explore-hidden").text(caption);
  const head = table.append("thead").append("tr");
  head.append("td");
  for (const column of columns) head.append("th").attr("scope", "col").text(column);
  const cells = rows.map(([mark, name]) => {
    const line = table.append("tbody").append("tr");
    line.append("th").attr("scope", "row").attr("class", mark).text(name);
    return columns.map((column) => line.append("td").attr("data-number", `${name}, ${column}`));
  });
  return { set: (texts) => cells.forEach((line, i) => line.forEach((cell, j) => cell.text(texts[i][j]))) };
}

/** A summary that a screen reader speaks once nothing changes any more. Its first text is there before it can speak. */
export function summary(parent) {
  const place = parent.append("p").attr("class", "explore-hidden").attr("role", "status");
  let timer;
  return {
    say(text) {
      if (timer === undefined) {
        timer = 0;
        return void place.text(text);
      }
      clearTimeout(timer);
      timer = setTimeout(() => place.text(text), PAUSE);
    },
  };
}
