// Chapter 9: what a baseline does to the samples of the score function, and to their variance, which is a parabola in it.
import { format } from "./vendor/d3.js";
import { baselineVariance, bestBaseline, estimate, normalScore, squareVariance } from "./maths.js";
import { button, steering } from "./controls.js";
import { body, chart, curve, disc, drawing, fixed, label, line, numbers, plusMinus, row, summary } from "./parts.js";
import { normals, uniformSource } from "./random.js";

const [MU, SIGMA] = [12, 42];
const EXACT = 2 * MU;
const COUNT = 400;
const B = { min: -6564, max: 17436, step: 12 }; // the steps meet 0, the mean of f, and the best baseline
const MEAN = MU ** 2 + SIGMA ** 2; // of f
const HEIGHT = 270;
const Z = { domain: [-120, 145], ticks: [-100, -50, 0, 50, 100], name: "sample z" };
const TERMS = { domain: [-700, 700], ticks: [-600, -300, 0, 300, 600] };
const thousands = format(",");
const whole = (x) => thousands(Math.round(x)).replace("-", "\u2212");

export default function baseline(element) {
  const least = baselineVariance(MU, SIGMA, bestBaseline(MU, SIGMA));
  const pathwise = squareVariance(MU, SIGMA).pathwise;
  const state = { b: 0, seed: 0 };
  let samples;
  let terms;

  const root = body(element, "Samples of the score function with a baseline, and their variance");
  const panels = row(root);
  const scatter = drawing(panels, { height: HEIGHT, describe: describeScatter, draw: drawScatter });
  const parabola = drawing(panels, { height: HEIGHT, describe: describeParabola, draw: drawParabola });
  const { panel, set, slider, again } = steering(root, state, update);
  const chosen = slider("b", { name: "b", spoken: "baseline b", ...B, show: whole });
  const keys = panel.append("span").attr("class", "explore-pair");
  button(keys, "b = 0", () => jump(0));
  button(keys, "b = mean of f", () => jump(MEAN));
  again("New samples", draw, keys);
  const columns = [`estimate of ${EXACT}`, "variance", "÷ lowest"];
  const table = numbers(root, `Estimates from ${COUNT} samples, and the exact variance of one`, columns, [["is-score", "score function"]]);
  const spoken = summary(root);
  draw();
  update();

  function jump(b) {
    chosen.set(b);
    set("b")(b);
  }

  function draw() {
    samples = [...normals(uniformSource(state.seed), COUNT)].map((eps) => MU + SIGMA * eps);
  }

  function term(z) {
    return (z * z - state.b) * normalScore(z, MU, SIGMA).mu;
  }

  function update() {
    terms = samples.map(term);
    const { mean, error } = estimate(terms);
    const variance = baselineVariance(MU, SIGMA, state.b);
    table.set([[plusMinus(mean, error), whole(variance), fixed(variance / least, 3)]]);
    spoken.say(`Baseline ${whole(state.b)}: estimate ${plusMinus(mean, error)}, variance ${whole(variance)}, ${fixed(variance / least, 3)} times the lowest variance.`);
    scatter.update();
    parabola.update();
  }

  function describeScatter() {
    return `${COUNT} samples z and what each contributes to the estimate, (f(z) − b) times the score, on a curve that is closest to the dashed line at ${EXACT}, on average, when b is the best baseline.`;
  }

  function drawScatter(svg, width) {
    const { x, y, inside } = chart(svg, { width, height: HEIGHT, title: "one dot per sample: (f(z) − b) · score", x: Z, y: TERMS });
    line(inside, "explore-zero", [x.range()[0], y(0)], [x.range()[1], y(0)]);
    const grid = Array.from({ length: 107 }, (_, i) => Z.domain[0] + 2.5 * i);
    curve(inside, "explore-line is-score is-past", grid.map((z) => [x(z), y(term(z))]));
    samples.forEach((z, i) => disc(inside, "explore-mark is-second", [x(z), y(terms[i])], 2.5));
    line(inside, "explore-exact", [x.range()[0], y(EXACT)], [x.range()[1], y(EXACT)]);
  }

  function describeParabola() {
    return "The variance of one sample against the baseline b, a parabola, above the variance of the pathwise estimator.";
  }

  function drawParabola(svg, width) {
    const axis = { domain: [B.min, B.max], ticks: [-5000, 0, 5000, 10_000, 15_000], format: format("~s"), name: "baseline b" };
    const { x, y, inside } = chart(svg, {
      width, height: HEIGHT, title: "variance of one sample", x: axis,
      y: { domain: [0, 95_000], ticks: [0, 20_000, 40_000, 60_000, 80_000], format: format("~s") },
    });
    const grid = Array.from({ length: 81 }, (_, i) => B.min + ((B.max - B.min) * i) / 80);
    curve(inside, "explore-line is-score", grid.map((b) => [x(b), y(baselineVariance(MU, SIGMA, b))]));
    line(inside, "explore-line is-pathwise is-dashed", [x(B.min), y(pathwise)], [x(B.max), y(pathwise)]);
    label(inside, "is-pathwise is-named is-end", [x(B.max) - 4, y(pathwise) + 14], "pathwise");
    const here = x(state.b);
    line(inside, "explore-here", [here, y.range()[0]], [here, y.range()[1]]);
    disc(inside, "explore-dot is-score", [here, y(baselineVariance(MU, SIGMA, state.b))], 5);
  }
}
