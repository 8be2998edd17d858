// Chapter 8: relaxed samples of three classes on the simplex, what their gradient converges to, and how large its error is.
import { categoricalGradient, gaussLegendre, relaxedGradient, relaxedMoments, softmax } from "./discrete.js";
import { estimate } from "./maths.js";
import { steering } from "./controls.js";
import { body, chart, curve, disc, drawing, fixed, label, line, numbers, plusMinus, points, row, summary } from "./parts.js";
import { gumbel, uniformSource } from "./random.js";

const COUNT = 300;
const PI = [0.2, 0.3, 0.5];
const C = [0, 1, 2];
const CLASS = 1; // counted from 0: the middle class, whose gradient has the largest bias for its size
const TAU = { lowest: 0.05, highest: 3, steps: 40, ticks: [0.05, 0.1, 0.3, 1, 3] };
const HEIGHT = 340;
const UPPER = 160; // of the height, for the chart of the limit
const MARKS = ["is-first", "is-second", "is-third"];
const simplexHeight = (width) => Math.round(Math.min(270, width * 0.8));
const PARTS = ["bias", "standard error", "r.m.s. error"];

const tauAt = (step) => TAU.lowest * (TAU.highest / TAU.lowest) ** (step / TAU.steps);

export default function temperature(element) {
  const truth = categoricalGradient(PI, C, CLASS);
  const rule = gaussLegendre(48);
  const steps = Array.from({ length: TAU.steps + 1 }, (_, step) => {
    const tau = tauAt(step);
    const { mean, variance } = relaxedMoments(PI, C, tau, CLASS, rule);
    const [bias, error] = [mean - truth, Math.sqrt(variance / COUNT)];
    return { tau, mean, bias, error, whole: Math.hypot(bias, error) };
  });
  const state = { step: 28, seed: 0 };
  let scores;
  let found;

  const root = body(element, "Relaxed samples of three classes, with a slider for the temperature");
  const panels = row(root);
  const simplex = drawing(panels, { height: simplexHeight, describe: describeSimplex, draw: drawSimplex });
  const charts = drawing(panels, { height: HEIGHT, describe: describeCharts, draw: drawCharts });
  const { slider, again } = steering(root, state, update);
  slider("step", { name: "τ", spoken: "temperature tau", min: 0, max: TAU.steps, step: 1, show: (step) => fixed(tauAt(step), 3) });
  again("New noise", drawNoise);
  const words = root.append("p").attr("class", "explore-step");
  const table = numbers(root, `Errors of the gradient estimate from ${COUNT} samples`, PARTS, [["is-pathwise", "relaxed"]]);
  const spoken = summary(root);
  drawNoise();
  update();

  function drawNoise() {
    const uniform = uniformSource(state.seed);
    scores = Array.from({ length: COUNT }, () => PI.map((p) => Math.log(p) + gumbel(uniform)));
  }

  function update() {
    const now = steps[state.step];
    const samples = scores.map((score) => softmax(score, now.tau));
    const sampled = estimate(samples.map((y) => relaxedGradient(y, C, now.tau, CLASS)));
    found = { samples, sampled };
    const text = `These samples give ${plusMinus(sampled.mean, sampled.error)}. With more of them, the estimate converges to ${fixed(now.mean, 4)}. The exact value is ${fixed(truth, 2)}.`;
    words.text(text);
    table.set([[fixed(now.bias, 4), fixed(now.error, 4), fixed(now.whole, 4)]]);
    spoken.say(`Temperature ${fixed(now.tau, 3)}. ${text} Root mean squared error ${fixed(now.whole, 4)}.`);
    simplex.update();
    charts.update();
  }

  function describeSimplex() {
    return `${COUNT} relaxed samples in a triangle whose corners are the three classes, at temperature ${fixed(tauAt(state.step), 3)}.`;
  }

  function drawSimplex(svg, width) {
    const height = simplexHeight(width);
    const side = Math.min(width - 40, (height - 50) / Math.sqrt(0.75));
    const [left, bottom] = [(width - side) / 2, (height + side * Math.sqrt(0.75)) / 2];
    const corners = [[left, bottom], [left + side, bottom], [left + side / 2, bottom - side * Math.sqrt(0.75)]];
    svg.append("polygon").attr("class", "explore-outline").attr("points", points(corners));
    for (const y of found.samples) {
      const [px, py] = [0, 1].map((axis) => y.reduce((sum, part, i) => sum + part * corners[i][axis], 0));
      const winner = y.indexOf(Math.max(...y));
      const dot = svg.append("use").attr("href", `#explore-mark-${winner}`).attr("class", `explore-mark ${MARKS[winner]}`);
      dot.attr("x", px.toFixed(1)).attr("y", py.toFixed(1));
    }
    const shapes = svg.append("defs");
    shapes.append("circle").attr("id", "explore-mark-0").attr("r", 3);
    shapes.append("rect").attr("id", "explore-mark-1").attr("x", -2.7).attr("y", -2.7).attr("width", 5.4).attr("height", 5.4);
    shapes.append("path").attr("id", "explore-mark-2").attr("d", "M0-3.6 3.3 2.4H-3.3z");
    corners.forEach(([x, y], i) => label(svg, "is-middle", [x, i === 2 ? y - 8 : y + 18], `class ${i + 1}`));
  }

  function describeCharts() {
    return (
      "Against temperature, above: the limit of the relaxed gradient with a band of two standard errors, wide around the exact value " +
      "at low temperature, narrow and far from it at high temperature. Below: the bias rises, the standard error falls, and the root " +
      "mean squared error has a lowest point between them."
    );
  }

  function drawCharts(svg, width) {
    const x = { domain: [TAU.lowest, TAU.highest], log: true, ticks: TAU.ticks };
    const upper = chart(svg, {
      width, height: UPPER, x, y: { domain: [-0.9, 0.1], ticks: [-0.8, -0.6, -0.4, -0.2, 0] },
      title: `gradient: limit ± 2 standard errors`,
    });
    const band = (sign) => steps.map((at) => [upper.x(at.tau), upper.y(at.mean + 2 * sign * at.error)]);
    upper.inside.append("polygon").attr("class", "explore-band is-pathwise").attr("points", points([...band(1), ...band(-1).reverse()]));
    curve(upper.inside, "explore-line is-pathwise", steps.map((at) => [upper.x(at.tau), upper.y(at.mean)]));
    line(upper.inside, "explore-exact", [upper.x(TAU.lowest), upper.y(truth)], [upper.x(TAU.highest), upper.y(truth)]);
    label(upper.inside, "is-end", [upper.x(TAU.highest) - 2, upper.y(truth) + 16], `exact ${fixed(truth, 2)}`);

    const lower = chart(svg, {
      top: UPPER, width, height: HEIGHT - UPPER, x: { ...x, name: "temperature τ" }, title: `error of an estimate from ${COUNT} samples`,
      y: { domain: [0, 0.38], ticks: [0, 0.1, 0.2, 0.3] },
    });
    const show = (part, kind) => curve(lower.inside, kind, steps.map((at) => [lower.x(at.tau), lower.y(part(at))]));
    show((at) => Math.abs(at.bias), "explore-line is-score is-dashed");
    show((at) => at.error, "explore-line is-third is-dotted");
    show((at) => at.whole, "explore-line is-whole");
    const named = (kind, tau, part, text) =>
      label(lower.inside, `${kind} is-named`, [lower.x(tau), lower.y(part(steps.find((at) => at.tau >= tau)))], text);
    named("is-score is-end", 1.45, () => 0.13, "bias");
    named("is-third is-end", 2.9, () => 0.03, "std. error");
    named("is-whole", 0.14, () => 0.17, "r.m.s. error");

    const now = steps[state.step];
    for (const { x: across, y: up, inside } of [upper, lower]) {
      line(inside, "explore-here", [across(now.tau), up.range()[0]], [across(now.tau), up.range()[1]]);
    }
    disc(upper.inside, "explore-dot is-pathwise", [upper.x(now.tau), upper.y(found.sampled.mean)], 5);
    disc(lower.inside, "explore-dot is-whole", [lower.x(now.tau), lower.y(now.whole)], 5);
  }
}
