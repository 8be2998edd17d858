// Chapter 8: relaxed samples of three classes on the simplex, and what their gradient converges to, against temperature.
import { axisBottom, axisLeft, scaleLinear, scaleLog } from "./vendor/d3.js";
import { categoricalGradient, estimate, gaussLegendre, relaxedGradient, relaxedMoments, softmax } from "./maths.js";
import { body, button, controls, drawing, fixed, numbers, plusMinus, points, row, slider, summary } from "./parts.js";
import { gumbel, uniformSource } from "./random.js";

const COUNT = 300;
const PI = [0.2, 0.3, 0.5];
const C = [0, 1, 2];
const CLASS = 1; // counted from 0: the middle class, whose gradient shows the bias most clearly
const TAU = { lowest: 0.05, highest: 3, steps: 40 };
const HEIGHT = 270;
const MARGIN = { left: 34, right: 10, top: 26, bottom: 40 };
const MARKS = ["is-first", "is-second", "is-third"];

const tauAt = (step) => TAU.lowest * (TAU.highest / TAU.lowest) ** (step / TAU.steps);

export default function temperature(element) {
  const truth = categoricalGradient(PI, C, CLASS);
  const rule = gaussLegendre(48);
  const curve = Array.from({ length: TAU.steps + 1 }, (_, step) => {
    const tau = tauAt(step);
    return { tau, ...relaxedMoments(PI, C, tau, CLASS, rule) };
  });
  const state = { step: 28, seed: 0 };
  let scores;
  let found;

  const root = body(element, "Relaxed samples of three classes, with a slider for the temperature");
  const panels = row(root);
  const simplex = drawing(panels, { height: HEIGHT, describe: describeSimplex, draw: drawSimplex });
  const trade = drawing(panels, { height: HEIGHT, describe: describeTrade, draw: drawTrade });
  const panel = controls(root);
  slider(panel, {
    name: "τ", spoken: "temperature tau", min: 0, max: TAU.steps, step: 1, value: state.step,
    show: (step) => fixed(tauAt(step), 3),
    change: (step) => {
      state.step = step;
      update();
    },
  });
  button(panel, "New noise", () => {
    state.seed += 1;
    drawNoise();
    update();
  });
  const line = root.append("p").attr("class", "explore-step");
  const columns = ["bias", "standard error", "r.m.s. error"];
  const table = numbers(root, `Errors of the gradient from ${COUNT} samples`, columns, [["is-pathwise", "relaxed"]]);
  const spoken = summary(root);
  drawNoise();
  update();

  function drawNoise() {
    const uniform = uniformSource(state.seed);
    scores = Array.from({ length: COUNT }, () => PI.map((p) => Math.log(p) + gumbel(uniform)));
  }

  function update() {
    const { tau, mean, variance } = curve[state.step];
    const draws = scores.map((score) => softmax(score, tau));
    const sampled = estimate(draws.map((y) => relaxedGradient(y, C, tau, CLASS)));
    const error = Math.sqrt(variance / COUNT);
    found = { tau, draws, sampled, mean, error };
    const bias = mean - truth;
    const whole = Math.hypot(bias, error);
    const text = `These samples give ${plusMinus(sampled.mean, sampled.error)}. More of them would lead to ${fixed(mean, 4)}. The exact value is ${fixed(truth, 2)}.`;
    line.text(text);
    table.set([[fixed(bias, 4), fixed(error, 4), fixed(whole, 4)]]);
    spoken.say(`Temperature ${fixed(tau, 3)}. ${text} Root mean square error ${fixed(whole, 4)}.`);
    simplex.update();
    trade.update();
  }

  function describeSimplex() {
    return `${COUNT} relaxed samples in a triangle whose corners are the three classes, at temperature ${fixed(tauAt(state.step), 3)}.`;
  }

  function drawSimplex(svg, width) {
    const side = Math.min(width - 40, (HEIGHT - 50) / Math.sqrt(0.75));
    const [left, bottom] = [(width - side) / 2, HEIGHT - 22];
    const corners = [[left, bottom], [left + side, bottom], [left + side / 2, bottom - side * Math.sqrt(0.75)]];
    svg.append("polygon").attr("class", "explore-outline").attr("points", points(corners));
    for (const y of found.draws) {
      const [px, py] = [0, 1].map((axis) => y.reduce((sum, part, i) => sum + part * corners[i][axis], 0));
      const winner = y.indexOf(Math.max(...y));
      const dot = svg.append("use").attr("href", `#explore-mark-${winner}`).attr("class", `explore-mark ${MARKS[winner]}`);
      dot.attr("x", px.toFixed(1)).attr("y", py.toFixed(1));
    }
    const shapes = svg.append("defs");
    shapes.append("circle").attr("id", "explore-mark-0").attr("r", 3);
    shapes.append("rect").attr("id", "explore-mark-1").attr("x", -2.7).attr("y", -2.7).attr("width", 5.4).attr("height", 5.4);
    shapes.append("path").attr("id", "explore-mark-2").attr("d", "M0-3.6 3.3 2.4H-3.3z");
    corners.forEach(([x, y], i) => {
      const text = svg.append("text").attr("class", "explore-label is-middle").attr("x", x).attr("y", i === 2 ? y - 8 : y + 18);
      text.text(`${i + 1}`);
    });
  }

  function describeTrade() {
    return (
      "The limit of the relaxed gradient against temperature, with a band of two standard errors: at low temperature the band is " +
      "wide around the exact value, at high temperature it is narrow and far above."
    );
  }

  function drawTrade(svg, width) {
    const x = scaleLog([TAU.lowest, TAU.highest], [MARGIN.left, width - MARGIN.right]);
    const y = scaleLinear([-0.75, 0.05], [HEIGHT - MARGIN.bottom, MARGIN.top]);
    const band = (sign) => curve.map((at) => [x(at.tau), y(at.mean + 2 * sign * Math.sqrt(at.variance / COUNT))]);
    svg.append("polygon").attr("class", "explore-band is-pathwise").attr("points", points([...band(1), ...band(-1).reverse()]));
    svg.append("polyline").attr("class", "explore-line is-pathwise").attr("points", points(curve.map((at) => [x(at.tau), y(at.mean)])));
    svg.append("line").attr("class", "explore-exact").attr("x1", x.range()[0]).attr("x2", x.range()[1]).attr("y1", y(truth)).attr("y2", y(truth));
    svg.append("text").attr("class", "explore-label is-end").attr("x", width - MARGIN.right).attr("y", y(truth) + 16).text(`exact ${fixed(truth, 2)}`);
    svg.append("text").attr("class", "explore-label").attr("x", 0).attr("y", 14).text(`gradient: limit ± 2 standard errors of ${COUNT} samples`);
    const below = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`);
    below.call(axisBottom(x).tickValues([0.05, 0.1, 0.3, 1, 3]).tickFormat((tau) => `${tau}`).tickSize(4));
    svg.append("text").attr("class", "explore-label is-middle").attr("x", (x.range()[0] + x.range()[1]) / 2).attr("y", HEIGHT - 6).text("temperature τ");
    const beside = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(${MARGIN.left},0)`);
    beside.call(axisLeft(y).ticks(5).tickSize(4));
    const here = x(found.tau);
    svg.append("line").attr("class", "explore-here").attr("x1", here).attr("x2", here).attr("y1", MARGIN.top).attr("y2", HEIGHT - MARGIN.bottom);
    svg.append("circle").attr("class", "explore-dot is-pathwise").attr("cx", here).attr("cy", y(found.sampled.mean)).attr("r", 5);
  }
}
