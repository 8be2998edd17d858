// What the figures are put together from: a body, drawings, sliders, buttons, a table of numbers, a spoken summary.
import { select } from "./vendor/d3.js";

const MINUS = "\u2212";
const PAUSE = 600; // ms without a change before the summary is spoken

/** A number with so many digits behind the point, and a real minus sign. */
export function fixed(x, digits) {
  return Math.abs(x).toFixed(digits).replace(/^/, x < 0 && Number(x.toFixed(digits)) !== 0 ? MINUS : "");
}

/** `a ± s` as the book prints it: s with three significant digits, a with as many digits behind the point. */
export function plusMinus(mean, error) {
  if (!(error > 0)) return fixed(mean, 2);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Number(error.toPrecision(3)))));
  return `${fixed(mean, digits)} ± ${fixed(error, digits)}`;
}

/** The part of the element that scripts make; `label` names it for those who cannot see it. */
export function body(element, label) {
  return select(element).append("div").attr("class", "explore-body").attr("role", "group").attr("aria-label", label);
}

/** A row for drawings that stand side by side where there is room. */
export function row(parent) {
  return parent.append("div").attr("class", "explore-row");
}

/**
 * An SVG as wide as its place. `draw(scene, width)` fills its group, at first, when the width changes and at each
 * `update`; `describe()` gives its text alternative. What a finger holds must outlive that, and is appended to `svg`.
 */
export function drawing(parent, { height, describe, draw }) {
  const svg = parent.append("svg").attr("class", "explore-drawing").attr("role", "img").attr("height", height);
  const scene = svg.append("g");
  let width = 0;
  function update() {
    width ||= Math.round(svg.node().getBoundingClientRect().width); // so that the figure is whole from the start
    if (!width) return;
    svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", describe());
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

/** A row for sliders and buttons. */
export function controls(parent) {
  return parent.append("div").attr("class", "explore-controls");
}

/** A slider with its name before it and its value, as `show` writes it, behind. */
export function slider(parent, { name, spoken, min, max, step, value, show, change }) {
  const label = parent.append("label").attr("class", "explore-slider");
  label.append("span").attr("class", "explore-name").attr("aria-hidden", "true").text(name);
  const input = label.append("input").attr("type", "range").attr("aria-label", spoken);
  const output = label.append("span").attr("class", "explore-value").attr("aria-hidden", "true");
  function write() {
    output.text(show(get()));
    input.attr("aria-valuetext", show(get()));
  }
  function get() {
    return Number(input.property("value"));
  }
  input.attr("min", min).attr("max", max).attr("step", step).property("value", value);
  input.on("input", () => {
    write();
    change(get());
  });
  write();
  return {
    set(x) {
      input.property("value", x);
      write();
    },
  };
}

export function button(parent, text, press) {
  return parent.append("button").attr("type", "button").attr("class", "explore-button").text(text).on("click", press);
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

/** A summary that a screen reader speaks once the reader has come to rest. */
export function summary(parent) {
  const place = parent.append("p").attr("class", "explore-hidden").attr("role", "status");
  let timer;
  return {
    say(text) {
      clearTimeout(timer);
      timer = setTimeout(() => place.text(text), PAUSE);
    },
  };
}
