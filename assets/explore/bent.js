// Chapter 6: functions that agree at 0 and 1 and bend between them, and what straight-through makes of each.
import { bent as f, bentSlope, straightThroughLimit } from "./discrete.js";
import { estimate } from "./maths.js";
import { steering } from "./controls.js";
import { body, chart, curve, disc, drawing, fixed, label, line, numbers, plusMinus, row, summary } from "./parts.js";
import { uniformSource } from "./random.js";

const COUNT = 200;
const EXACT = 1; // f(1) - f(0)
const BEND = { min: -4, max: 4, step: 0.25 };
const HEIGHT = 250;
const REACH = 0.22; // of the tangents

export default function bent(element) {
  const state = { p: 0.25, a: 1, seed: 0 };
  let noise;
  let now;

  const root = body(element, "A function on 0 and 1 that can be bent between them, and the straight-through gradient");
  const panels = row(root);
  const shape = drawing(panels, { height: HEIGHT, describe: describeShape, draw: drawShape });
  const limits = drawing(panels, { height: HEIGHT, describe: describeLimits, draw: drawLimits });
  const { slider, again } = steering(root, state, update);
  slider("a", { name: "bend", spoken: "bend", ...BEND, show: (a) => fixed(a, 2) });
  slider("p", { name: "p", spoken: "probability p", min: 0, max: 1, step: 0.05, show: (p) => fixed(p, 2) });
  again("New samples", draw);
  const words = root.append("p").attr("class", "explore-step");
  const columns = [`${COUNT} samples`, "limit", "gradient", "bias"];
  const table = numbers(root, `Straight-through estimates from ${COUNT} samples`, columns, [["is-pathwise", "straight-through"]]);
  const spoken = summary(root);
  draw();
  update();

  function draw() {
    noise = Array.from({ length: COUNT }, uniformSource(state.seed));
  }

  function update() {
    const { p, a } = state;
    const { mean, error } = estimate(noise.map((u) => bentSlope(u < p ? 1 : 0, a)));
    now = { mean, error, limit: Math.round(straightThroughLimit(p, a) * 1e9) / 1e9 }; // 0 must be 0
    const verdict =
      a === 0 ? "Straight-through is exact here."
      : now.limit === EXACT ? "Straight-through is unbiased here. On average, it equals the gradient."
      : now.limit < 0 ? "Straight-through has the wrong sign, so gradient descent would increase the objective."
      : now.limit === 0 ? "Straight-through converges to 0 here."
      : `Straight-through converges to ${fixed(now.limit, 3)}, and more samples do not change this.`;
    words.text(`f(0) = 0 and f(1) = 1 for every bend, so the gradient is 1. ${verdict}`);
    table.set([[plusMinus(mean, error), fixed(now.limit, 3), fixed(EXACT, 0), fixed(now.limit - EXACT, 3)]]);
    spoken.say(`Bend ${fixed(a, 2)}, p ${fixed(p, 2)}. Estimate ${plusMinus(mean, error)}. ${verdict}`);
    shape.update();
    limits.update();
  }

  function describeShape() {
    return `The function f from the point (0, 0) to the point (1, 1) with bend ${fixed(state.a, 2)}, its chord, and its slopes at both ends.`;
  }

  function drawShape(svg, width) {
    const { p, a } = state;
    const axis = { domain: [-0.25, 1.25], ticks: [0, 0.5, 1], name: "y" };
    const { x, y, inside } = chart(svg, { width, height: HEIGHT, title: "f(y), and its slopes at 0 and 1", x: axis, y: { domain: [-0.8, 1.8], ticks: [-0.5, 0, 0.5, 1, 1.5] } });
    line(inside, "explore-exact", [x(0), y(0)], [x(1), y(1)]);
    curve(inside, "explore-line is-whole", Array.from({ length: 41 }, (_, i) => [x(i / 40), y(f(i / 40, a))]));
    for (const end of [0, 1]) {
      const slope = bentSlope(end, a);
      const [dx, dy] = [x(1) - x(0), slope * (y(1) - y(0))];
      const reach = (REACH * dx) / Math.hypot(dx, dy); // the same length on the screen, however steep
      const [cx, cy] = [x(end), y(end)];
      line(inside, "explore-tangent is-pathwise", [cx - reach * dx, cy - reach * dy], [cx + reach * dx, cy + reach * dy]);
      disc(inside, "explore-dot is-pathwise", [cx, cy], 3 + 6 * Math.sqrt(end ? p : 1 - p));
    }
  }

  function describeLimits() {
    return "What straight-through converges to, against p: a straight line through 1 at one half, next to the gradient, which is 1 for every p.";
  }

  function drawLimits(svg, width) {
    const { p, a } = state;
    const axis = { domain: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1], name: "p" };
    const { x, y, inside } = chart(svg, { width, height: HEIGHT, title: "limit, and gradient (dashed)", x: axis, y: { domain: [-3.2, 5.2], ticks: [-2, 0, 1, 2, 4] } });
    inside.append("rect").attr("class", "explore-wrong").attr("x", x(0)).attr("y", y(0)).attr("width", x(1) - x(0)).attr("height", y(-3.2) - y(0));
    label(inside, "is-end", [x(1) - 6, y(-3.2) - 8], "wrong sign");
    line(inside, "explore-exact", [x(0), y(EXACT)], [x(1), y(EXACT)]);
    curve(inside, "explore-line is-pathwise", [0, 1].map((at) => [x(at), y(straightThroughLimit(at, a))]));
    line(inside, "explore-here", [x(p), y.range()[0]], [x(p), y.range()[1]]);
    line(inside, "explore-spread is-pathwise", [x(p), y(now.mean - 2 * now.error)], [x(p), y(now.mean + 2 * now.error)]);
    disc(inside, "explore-dot is-pathwise", [x(p), y(now.mean)], 5);
  }
}
