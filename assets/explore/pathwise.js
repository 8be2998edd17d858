// Chapter 1: the same noise at every mu and sigma, and what each draw contributes to the two estimators of d/dmu.
import { axisBottom, scaleLinear } from "./vendor/d3.js";
import { estimate, normalDensity, normalScore, sineGradient, sinePathwise } from "./maths.js";
import { body, button, controls, drawing, fixed, numbers, plusMinus, points, slider, summary } from "./parts.js";
import { normals, uniformSource } from "./random.js";

const COUNT = 50;
const MU = { min: -1, max: 3, step: 0.01 };
const SIGMA = { min: 0.1, max: 1.5, step: 0.01 };
const NOISE_AT = 34;
const DRAWS_AT = 142;
const TRACKS = { pathwise: { at: 236, name: "pathwise, one bar a draw: cos z" }, score: { at: 350, name: "score function, same scale: sin z · (z − μ)/σ²" } };
const HALF_TRACK = 46;
const LARGEST = 3.2;
const HEIGHT = 412;

export default function pathwise(element) {
  const state = { mu: 1, sigma: 0.5, seed: 0 };
  let eps;
  let found;

  const root = body(element, "Pathwise and score-function samples, with sliders for mu and sigma");
  const picture = drawing(root, { height: HEIGHT, describe, draw });
  const handles = { mu: handle("mu", "μ"), sigma: handle("sigma", "μ+σ") };
  const panel = controls(root);
  const sliders = {
    mu: slider(panel, { name: "μ", spoken: "mu", ...MU, value: state.mu, show: (x) => fixed(x, 2), change: set("mu") }),
    sigma: slider(panel, { name: "σ", spoken: "sigma", ...SIGMA, value: state.sigma, show: (x) => fixed(x, 2), change: set("sigma") }),
  };
  button(panel, "New noise", () => {
    state.seed += 1;
    drawNoise();
    update();
  });
  const rows = [["is-pathwise", "pathwise"], ["is-score", "score function"], ["", "exact"]];
  const table = numbers(root, `Estimates from ${COUNT} draws`, ["∂/∂μ", "∂/∂σ"], rows);
  const spoken = summary(root);
  picture.svg.on("pointerdown", grab);
  drawNoise();
  update();

  function set(name) {
    return (value) => {
      state[name] = value;
      update();
    };
  }

  function drawNoise() {
    eps = [...normals(uniformSource(state.seed), COUNT)];
  }

  function update() {
    const { mu, sigma } = state;
    const z = eps.map((e) => mu + sigma * e);
    const pathwise = eps.map((e) => sinePathwise(mu, sigma, e));
    const score = z.map((value) => {
      const { mu: inMu, sigma: inSigma } = normalScore(value, mu, sigma);
      return { mu: Math.sin(value) * inMu, sigma: Math.sin(value) * inSigma };
    });
    const exact = sineGradient(mu, sigma);
    const of = (samples, name) => estimate(samples.map((sample) => sample[name]));
    found = { z, samples: { pathwise: pathwise.map((g) => g.mu), score: score.map((g) => g.mu) }, exact: exact.mu };
    const text = (samples) => ["mu", "sigma"].map((name) => plusMinus(of(samples, name).mean, of(samples, name).error));
    const texts = [text(pathwise), text(score), [fixed(exact.mu, 4), fixed(exact.sigma, 4)]];
    table.set(texts);
    spoken.say(
      `At mu ${fixed(mu, 2)}, sigma ${fixed(sigma, 2)}, the derivative in mu is ${texts[2][0]}. ` +
        `Pathwise: ${texts[0][0]}. Score function: ${texts[1][0]}.`,
    );
    picture.update();
  }

  function describe() {
    return (
      `${COUNT} noise values with threads down to the draws z = mu + sigma eps under their density. Below, a bar for each draw: ` +
      "what it contributes to the pathwise estimate of the derivative in mu, and to the score-function estimate."
    );
  }

  function scales(width) {
    const noise = scaleLinear([-3, 3], [8, width - 8]);
    const place = scaleLinear([-3, 5], [8, width - 8]).clamp(false);
    return { noise, place };
  }

  function draw(svg, width) {
    const { noise, place } = scales(width);
    const { mu, sigma } = state;
    svg.append("text").attr("class", "explore-label").attr("x", 0).attr("y", 14).text("ε, always the same");
    svg.append("text").attr("class", "explore-label").attr("x", 0).attr("y", DRAWS_AT - 42).text("z = μ + σε");

    const grid = Array.from({ length: 121 }, (_, i) => mu + sigma * (i / 20 - 3));
    const height = (z) => DRAWS_AT - 40 * (normalDensity(z, mu, sigma) / normalDensity(mu, mu, sigma));
    svg.append("polygon").attr("class", "explore-density").attr("points", points(grid.map((z) => [place(z), height(z)])));
    const threads = svg.append("g").attr("class", "explore-threads");
    eps.forEach((e, i) => {
      threads.append("line").attr("x1", noise(e)).attr("y1", NOISE_AT).attr("x2", place(found.z[i])).attr("y2", DRAWS_AT);
    });
    const dots = svg.append("g").attr("class", "explore-draws");
    eps.forEach((e, i) => {
      dots.append("circle").attr("class", "is-noise").attr("cx", noise(e)).attr("cy", NOISE_AT).attr("r", 2.5);
      dots.append("circle").attr("cx", place(found.z[i])).attr("cy", DRAWS_AT).attr("r", 2.5);
    });
    const axis = svg.append("g").attr("class", "explore-axis").attr("transform", `translate(0,${DRAWS_AT + 4})`);
    axis.call(axisBottom(place).ticks(9).tickSize(4));

    for (const [kind, { at, name }] of Object.entries(TRACKS)) track(svg, width, place, kind, at, name);
    handles.mu.attr("transform", `translate(${place(mu)},${DRAWS_AT})`);
    handles.sigma.attr("transform", `translate(${place(mu + sigma)},${DRAWS_AT})`);
  }

  function track(svg, width, place, kind, at, name) {
    const value = scaleLinear([-LARGEST, LARGEST], [at + HALF_TRACK, at - HALF_TRACK]).clamp(true);
    const group = svg.append("g").attr("class", `explore-track is-${kind}`);
    group.append("text").attr("class", "explore-label").attr("x", 0).attr("y", at - HALF_TRACK - 4).text(name);
    group.append("line").attr("class", "explore-zero").attr("x2", width).attr("y1", at).attr("y2", at);
    found.samples[kind].forEach((g, i) => {
      const x = place(found.z[i]);
      const bar = group.append("line").attr("class", "explore-bar").attr("x1", x).attr("x2", x);
      bar.attr("y1", at).attr("y2", value(g));
      if (Math.abs(g) > LARGEST) group.append("circle").attr("class", "explore-beyond").attr("cx", x).attr("cy", value(g)).attr("r", 2.5);
    });
    const { mean } = estimate(found.samples[kind]);
    const exact = group.append("line").attr("class", "explore-exact").attr("x2", width);
    exact.attr("y1", value(found.exact)).attr("y2", value(found.exact));
    group.append("line").attr("class", "explore-mean").attr("x2", width).attr("y1", value(mean)).attr("y2", value(mean));
  }

  function handle(name, text) {
    const group = picture.svg.append("g").attr("class", "explore-handle").attr("data-handle", name);
    group.append("circle").attr("class", "explore-touch").attr("r", 16);
    group.append("circle").attr("r", 7);
    group.append("text").attr("x", name === "mu" ? -8 : 8).attr("y", -10).attr("class", name === "mu" ? "is-end" : "").text(text);
    // touch-action does not reach into an SVG in every browser; without this a finger would scroll the page
    group.on("touchstart", (event) => event.preventDefault(), { passive: false });
    return group;
  }

  function grab(event) {
    const name = event.target.closest("[data-handle]")?.dataset.handle;
    if (!name) return;
    event.preventDefault();
    const svg = picture.svg.node();
    const width = svg.viewBox.baseVal.width;
    const { place } = scales(width);
    svg.setPointerCapture(event.pointerId);
    picture.svg.on("pointermove", (moved) => {
      const box = svg.getBoundingClientRect();
      const z = place.invert(((moved.clientX - box.left) / box.width) * width);
      const { min, max } = name === "mu" ? MU : SIGMA;
      const value = Math.min(max, Math.max(min, name === "mu" ? z : z - state.mu));
      state[name] = Math.round(value * 100) / 100;
      sliders[name].set(state[name]);
      update();
    });
    picture.svg.on("pointerup pointercancel", () => picture.svg.on("pointermove pointerup pointercancel", null));
  }
}
