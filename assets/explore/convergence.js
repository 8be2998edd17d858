// Chapter 9: running means of two estimators of d/dmu E[z^2] from the same draws, inside their standard-error funnels.
import { axisBottom, axisLeft, format, scaleLog, scaleSymlog } from "./vendor/d3.js";
import { squareRunningMeans, squareVariance } from "./maths.js";
import { body, button, controls, drawing, fixed, numbers, plusMinus, points, row, slider, summary } from "./parts.js";
import { normals, uniformSource } from "./random.js";

const [MU, SIGMA] = [12, 42];
const EXACT = 2 * MU;
const LARGEST = 100_000;
const KEPT = 40; // runs that are drawn
const HEIGHT = 270;
const MARGIN = { left: 38, right: 20, top: 26, bottom: 40 };
const NAMES = { pathwise: "pathwise", score: "score function" };
const COUNTS = [...new Set(Array.from({ length: 101 }, (_, i) => Math.round(LARGEST ** (i / 100))))];
const thousands = format(",");

export default function convergence(element) {
  const variance = squareVariance(MU, SIGMA);
  const errorAt = (kind, count) => Math.sqrt(variance[kind] / count);
  const state = { at: COUNTS.indexOf(1000), seed: 0 };
  const runs = [];

  const root = body(element, "Two estimators converging, with a slider for the number of draws");
  const panels = row(root);
  const pictures = Object.keys(NAMES).map((kind) =>
    drawing(panels, { height: HEIGHT, describe: () => describe(kind), draw: (svg, width) => draw(svg, width, kind) }),
  );
  const panel = controls(root);
  slider(panel, {
    name: "N", spoken: "number of draws", min: 0, max: COUNTS.length - 1, step: 1, value: state.at,
    show: (at) => thousands(COUNTS[at]),
    change: (at) => {
      state.at = at;
      update();
    },
  });
  button(panel, "Draw again", () => {
    state.seed += 1;
    run();
    update();
  });
  const rows = Object.entries(NAMES).map(([kind, name]) => [`is-${kind}`, name]);
  const columns = ["estimate ± std. error", "z", "runs within ±2"];
  const table = numbers(root, `Estimates of ${EXACT}, with the exact standard error`, columns, rows);
  const spoken = summary(root);
  run();
  update();

  function run() {
    const eps = normals(uniformSource(state.seed), LARGEST);
    runs.push(squareRunningMeans(eps, MU, SIGMA, COUNTS));
  }

  function update() {
    const count = COUNTS[state.at];
    const texts = Object.keys(NAMES).map((kind) => {
      const error = errorAt(kind, count);
      const distance = (one) => (one[kind][state.at] - EXACT) / error;
      const within = runs.filter((one) => Math.abs(distance(one)) <= 2).length;
      const latest = runs.at(-1);
      const z = distance(latest);
      return [plusMinus(latest[kind][state.at], error), (z > 0 ? "+" : "") + fixed(z, 2), `${within} of ${runs.length}`];
    });
    table.set(texts);
    spoken.say(`With ${thousands(count)} draws: pathwise ${texts[0][0]}, score function ${texts[1][0]}. The exact value is ${EXACT}.`);
    for (const picture of pictures) picture.update();
  }

  function describe(kind) {
    return (
      `${NAMES[kind]}: running mean minus ${EXACT} against the number of draws, from 1 to ${thousands(LARGEST)}, ` +
      "inside a funnel of two standard errors that narrows like one over the square root of N."
    );
  }

  function draw(svg, width, kind) {
    const x = scaleLog([1, LARGEST], [MARGIN.left, width - MARGIN.right]);
    const y = scaleSymlog([-400, 400], [HEIGHT - MARGIN.bottom, MARGIN.top]).constant(1).clamp(true);
    const edge = (sign) => COUNTS.map((count) => [x(count), y(2 * sign * errorAt(kind, count))]);
    svg.append("polygon").attr("class", `explore-band is-${kind}`).attr("points", points([...edge(1), ...edge(-1).reverse()]));
    const zero = svg.append("line").attr("class", "explore-exact").attr("x1", x(1)).attr("x2", x(LARGEST));
    zero.attr("y1", y(0)).attr("y2", y(0));
    runs.slice(-KEPT).forEach((one, i, shown) => {
      const pairs = COUNTS.map((count, j) => [x(count), y(one[kind][j] - EXACT)]);
      const path = svg.append("polyline").attr("class", `explore-line is-${kind}`).attr("points", points(pairs));
      path.classed("is-past", i < shown.length - 1);
    });
    const below = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`);
    below.call(axisBottom(x).tickValues([1, 10, 100, 1e3, 1e4, 1e5]).tickFormat(format("~s")).tickSize(4));
    const beside = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(${MARGIN.left},0)`);
    beside.call(axisLeft(y).tickValues([-100, -10, -1, 0, 1, 10, 100]).tickFormat((v) => fixed(v, 0)).tickSize(4));
    svg.append("text").attr("class", "explore-label is-middle").attr("x", (x(1) + x(LARGEST)) / 2).attr("y", HEIGHT - 6).text("number of draws N");
    svg.append("text").attr("class", "explore-label").attr("x", 0).attr("y", 14).text(`${NAMES[kind]}: estimate − ${EXACT}`);
    const here = x(COUNTS[state.at]);
    svg.append("line").attr("class", "explore-here").attr("x1", here).attr("x2", here).attr("y1", MARGIN.top).attr("y2", HEIGHT - MARGIN.bottom);
    const dot = svg.append("circle").attr("class", `explore-dot is-${kind}`).attr("cx", here).attr("r", 5);
    dot.attr("cy", y(runs.at(-1)[kind][state.at] - EXACT));
  }
}
