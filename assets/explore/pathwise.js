// Chapter 1: the same noise at every mu and sigma, and what each sample contributes to both estimators of both derivatives.
import { axisBottom, scaleLinear } from "./vendor/d3.js";
import { estimate, normalDensity, normalScore, sineGradient, sinePathwise } from "./maths.js";
import { steering } from "./controls.js";
import { body, disc, draggable, drawing, fixed, label, line, numbers, plusMinus, points, summary } from "./parts.js";
import { normals, uniformSource } from "./random.js";

const COUNT = 50;
const RANGES = { mu: { min: -1, max: 3, step: 0.01 }, sigma: { min: 0.1, max: 1.5, step: 0.01 } };
const NOISE_AT = 28;
const SAMPLES_AT = 116;
const UNIT = 13; // px: one unit of a derivative, in every track
const TRACKS = [
  { kind: "pathwise", name: "mu", above: 1.1, below: 1.1, title: "pathwise, ∂/∂μ: cos z" },
  { kind: "pathwise", name: "sigma", above: 1.4, below: 2.2, title: "pathwise, ∂/∂σ: ϵ cos z" },
  { kind: "score", name: "mu", above: 4, below: 2, title: "score function, ∂/∂μ: sin z · ϵ/σ" },
  { kind: "score", name: "sigma", above: 4, below: 2, title: "score function, ∂/∂σ: sin z · (ϵ² − 1)/σ" },
];
const TITLE = 20;
let foot = SAMPLES_AT + 26;
for (const track of TRACKS) {
  track.at = foot + TITLE + track.above * UNIT; // of its zero line
  foot = track.at + track.below * UNIT + 4;
}
const HEIGHT = Math.round(foot);

export default function pathwise(element) {
  const state = { mu: 1, sigma: 0.5, seed: 0 };
  let eps;
  let found;

  const root = body(element, "Pathwise and score-function samples, with sliders for mu and sigma");
  const picture = drawing(root, { height: HEIGHT, describe, draw });
  const handles = { mu: handle("mu", "μ"), sigma: handle("sigma", "μ + σ") };
  const { slider, again } = steering(root, state, update);
  const made = (name, symbol) => slider(name, { name: symbol, spoken: name, ...RANGES[name], show: (x) => fixed(x, 2) });
  const sliders = { mu: made("mu", "μ"), sigma: made("sigma", "σ") };
  again("New noise", drawNoise);
  const rows = [["is-pathwise", "pathwise"], ["is-score", "score function"], ["", "exact"]];
  const table = numbers(root, `Estimates from ${COUNT} samples`, ["∂/∂μ", "∂/∂σ"], rows);
  const spoken = summary(root);
  drawNoise();
  update();

  function drawNoise() {
    eps = [...normals(uniformSource(state.seed), COUNT)];
  }

  function update() {
    const { mu, sigma } = state;
    const z = eps.map((e) => mu + sigma * e);
    const terms = { pathwise: eps.map((e) => sinePathwise(mu, sigma, e)), score: z.map(scoreTerm) };
    const exact = sineGradient(mu, sigma);
    const each = (kind, name) => terms[kind].map((term) => term[name]);
    const text = (kind) => ["mu", "sigma"].map((name) => estimate(each(kind, name))).map(({ mean, error }) => plusMinus(mean, error));
    found = { z, each, exact };
    const texts = [text("pathwise"), text("score"), [fixed(exact.mu, 4), fixed(exact.sigma, 4)]];
    table.set(texts);
    spoken.say(
      `At mu ${fixed(mu, 2)}, sigma ${fixed(sigma, 2)}, the exact derivatives with respect to mu and sigma are ${texts[2].join(" and ")}. ` +
        `Pathwise: ${texts[0].join(" and ")}. Score function: ${texts[1].join(" and ")}.`,
    );
    picture.update();
  }

  function scoreTerm(z) {
    const score = normalScore(z, state.mu, state.sigma);
    return { mu: Math.sin(z) * score.mu, sigma: Math.sin(z) * score.sigma };
  }

  function describe() {
    return (
      `${COUNT} noise values with threads down to the samples z = mu + sigma eps under their density. Below, four rows with a bar ` +
      "for each sample: what it contributes to the pathwise and to the score-function estimates of both derivatives."
    );
  }

  function scales(width) {
    return { noise: scaleLinear([-3, 3], [8, width - 8]), place: scaleLinear([-4, 6], [8, width - 8]) };
  }

  function draw(svg, width) {
    const { noise, place } = scales(width);
    const { mu, sigma } = state;
    const inside = svg.append("svg").attr("class", "explore-inside").attr("width", width).attr("height", HEIGHT);
    label(svg, "", [0, 12], "noise ϵ, held fixed");
    label(svg, "", [0, SAMPLES_AT - 36], "z = μ + σϵ");
    const grid = Array.from({ length: 121 }, (_, i) => mu + sigma * (i / 20 - 3));
    const height = (z) => SAMPLES_AT - 40 * (normalDensity(z, mu, sigma) / normalDensity(mu, mu, sigma));
    inside.append("polygon").attr("class", "explore-density").attr("points", points(grid.map((z) => [place(z), height(z)])));
    const threads = inside.append("g").attr("class", "explore-threads");
    const dots = inside.append("g").attr("class", "explore-draws");
    eps.forEach((e, i) => {
      line(threads, "", [noise(e), NOISE_AT], [place(found.z[i]), SAMPLES_AT]);
      disc(dots, "is-noise", [noise(e), NOISE_AT], 2.5);
      disc(dots, "", [place(found.z[i]), SAMPLES_AT], 2.5);
    });
    const axis = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(0,${SAMPLES_AT + 4})`);
    axis.call(axisBottom(place).ticks(9).tickSize(4));
    for (const one of TRACKS) track(inside, width, place, one);
    handles.mu.attr("transform", `translate(${place(mu)},${SAMPLES_AT})`);
    handles.sigma.attr("transform", `translate(${place(mu + sigma)},${SAMPLES_AT})`);
  }

  function track(svg, width, place, { kind, name, at, above, below, title }) {
    const value = scaleLinear([above, -below], [at - above * UNIT, at + below * UNIT]).clamp(true);
    const terms = found.each(kind, name);
    const group = svg.append("g").attr("class", `explore-track is-${kind}`).attr("data-track", `${kind}, ${name}`);
    label(group, "", [0, at - above * UNIT - 6], title);
    line(group, "explore-zero", [0, at], [width, at]);
    terms.forEach((term, i) => {
      const x = place(found.z[i]);
      line(group, "explore-bar", [x, at], [x, value(term)]);
      if (term > above || term < -below) disc(group, "explore-beyond", [x, value(term)], 2.5);
    });
    const { mean } = estimate(terms);
    line(group, "explore-mean", [0, value(mean)], [width, value(mean)]);
    line(group, "explore-exact", [0, value(found.exact[name])], [width, value(found.exact[name])]);
  }

  function handle(name, text) {
    const group = picture.svg.append("g").attr("class", "explore-handle").attr("data-handle", name);
    disc(group, "explore-touch", [0, 0], 16);
    disc(group, "", [0, 0], 7);
    group.append("text").attr("x", name === "mu" ? -8 : 8).attr("y", -10).attr("class", name === "mu" ? "is-end" : "").text(text);
    draggable(picture.svg, group, ([x]) => drag(name, x));
    return group;
  }

  function drag(name, x) {
    const z = scales(picture.svg.node().getBoundingClientRect().width).place.invert(x);
    const { min, max } = RANGES[name];
    const value = Math.min(max, Math.max(min, name === "mu" ? z : z - state.mu));
    state[name] = Math.round(value * 100) / 100;
    sliders[name].set(state[name]);
    update();
  }
}
