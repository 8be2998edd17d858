// Chapter 12: the pairs of samples of the measure-valued derivative with respect to the mean of a normal variable.
import { estimate, meanPair, normalDensity, normalScore } from "./maths.js";
import { button, player, steering } from "./controls.js";
import { body, chart, curve, disc, drawing, fixed, line, numbers, plusMinus, points, summary } from "./parts.js";
import { normals, rayleigh, uniformSource } from "./random.js";

const MU = 12;
const COUNT = 400;
const SHOWN = 60; // pairs that are drawn
const FARTHEST = 3; // the largest w
const MOVING_TAKES = 5000; // ms, from 0 to there
const JUMP = 50;
const FUNCTIONS = {
  square: { name: "f(z) = z²", f: (z) => z * z, slope: (z) => 2 * z, exact: () => 2 * MU, top: 25_000, ticks: [0, 10_000, 20_000] },
  jump: { name: "f(z) = 1 if z > 50, else 0", f: (z) => Number(z > JUMP), slope: () => 0, exact: (sigma) => normalDensity(JUMP, MU, sigma), top: 1.25, ticks: [0, 1] },
};
const Z = { domain: [-150, 174], ticks: [-100, -50, 0, 50, 100, 150] };
const [UPPER, LOWER] = [150, 170];
const GRID = Array.from({ length: 109 }, (_, i) => Z.domain[0] + 3 * i);
const short = (x) => (Math.abs(x) >= 1000 ? `${x / 1000}k` : `${x}`);

export default function measure(element) {
  const state = { kind: "square", w: 1.2, sigma: 42, seed: 0 };
  let spread; // the w of every pair
  let noise; // of the pathwise samples

  const root = body(element, "Pairs of samples below and above the mean, with sliders for one pair and for sigma");
  const picture = drawing(root, { height: UPPER + LOWER, describe, draw });
  const { panel, set, slider, again } = steering(root, state, () => {
    motion.stop();
    update();
  });
  const keys = panel.append("span").attr("class", "explore-pair");
  for (const [kind, { name }] of Object.entries(FUNCTIONS)) button(keys, name, () => set("kind")(kind)).attr("data-kind", kind);
  const motion = player(panel, "Move the pair", { frame: move });
  const distance = slider("w", { name: "w", spoken: "distance w", min: 0, max: FARTHEST, step: 0.05, show: (w) => fixed(w, 2) });
  slider("sigma", { name: "σ", spoken: "sigma", min: 10, max: 50, step: 1, show: String });
  again("New pairs", drawPairs);
  const words = root.append("p").attr("class", "explore-step");
  const rows = [["is-third", `${COUNT} pairs`], ["is-pathwise", `pathwise, ${COUNT} samples`], ["", "exact"]];
  const table = numbers(root, "Estimates of the derivative with respect to mu", ["∂/∂μ"], rows);
  const spoken = summary(root);
  drawPairs();
  update();

  function drawPairs() {
    const uniform = uniformSource(state.seed);
    spread = Array.from({ length: COUNT }, () => rayleigh(uniform));
    noise = [...normals(uniform, COUNT)];
  }

  function move(ms) {
    const share = Math.min(1, ms / MOVING_TAKES);
    state.w = FARTHEST * share;
    distance.set(state.w);
    update(share === 1);
    return share < 1;
  }

  function update(rests = true) {
    const { kind, sigma, w } = state;
    const { f, slope, exact } = FUNCTIONS[kind];
    const term = (distance) => {
      const { minus, plus, factor } = meanPair(MU, sigma, distance);
      return factor * (f(plus) - f(minus));
    };
    const slopes = estimate(noise.map((eps) => slope(MU + sigma * eps)));
    const pairs = estimate(spread.map(term));
    const written = ({ mean, error }) => (error > 0 ? plusMinus(mean, error) : "0");
    const digits = kind === "square" ? 2 : 5;
    table.set([[written(pairs)], [written(slopes)], [fixed(exact(sigma), digits)]]);
    const { minus, plus, factor } = meanPair(MU, sigma, w);
    const one =
      `One pair: z⁻ = ${fixed(minus, 1)} and z⁺ = ${fixed(plus, 1)}, and f(z⁺) − f(z⁻) = ${fixed(f(plus) - f(minus), 0)}. ` +
      `Multiplied by 1/(σ√(2π)) = ${fixed(factor, 5)}, this gives ${fixed(term(w), digits)}.`;
    words.text(one);
    if (rests) spoken.say(`${one} All pairs give ${written(pairs)}, the pathwise estimator ${written(slopes)}. The exact value is ${fixed(exact(sigma), digits)}.`);
    for (const name of Object.keys(FUNCTIONS)) keys.select(`[data-kind=${name}]`).attr("aria-pressed", name === kind);
    picture.update();
  }

  function describe() {
    return (
      `Above, the function ${FUNCTIONS[state.kind].name} with its values at z minus and z plus. Below, the derivative of the density with ` +
      "respect to mu, negative below the mean, where probability is taken away, and positive above it, with pairs of samples from both halves."
    );
  }

  function draw(svg, width) {
    const { kind, sigma, w } = state;
    const { f, name, top, ticks } = FUNCTIONS[kind];
    const upper = chart(svg, { width, height: UPPER, title: name, x: Z, y: { domain: [-0.06 * top, top], ticks, format: short } });
    const graph = GRID.flatMap((z) => (kind === "jump" && z > JUMP && z - 3 <= JUMP ? [[JUMP, 0], [JUMP, 1], [z, 1]] : [[z, f(z)]]));
    curve(upper.inside, "explore-line is-whole", graph.map(([z, value]) => [upper.x(z), upper.y(value)]));
    const height = 1.15 * normalDensity(MU + 10, MU, 10) * normalScore(MU + 10, MU, 10).mu; // of the steepest derivative of all
    const scale = height * (10 / sigma) ** 2;
    const lower = chart(svg, {
      top: UPPER, width, height: LOWER, title: "derivative of the density, and pairs z⁻, z⁺", x: { ...Z, name: "z" }, y: { domain: [-scale, scale], ticks: [0] },
    });
    const slopeOf = (z) => normalDensity(z, MU, sigma) * normalScore(z, MU, sigma).mu;
    for (const [mark, keeps] of [["is-score", (z) => z <= MU], ["is-pathwise", (z) => z >= MU]]) {
      const part = GRID.filter(keeps);
      const outline = part.map((z) => [lower.x(z), lower.y(slopeOf(z))]);
      lower.inside.append("polygon").attr("class", `explore-half ${mark}`).attr("points", points([[lower.x(part[0]), lower.y(0)], ...outline, [lower.x(part.at(-1)), lower.y(0)]]));
    }
    line(lower.inside, "explore-zero", [lower.x.range()[0], lower.y(0)], [lower.x.range()[1], lower.y(0)]);
    spread.slice(0, SHOWN).forEach((one, i) => {
      const { minus, plus } = meanPair(MU, sigma, one);
      const at = lower.y(0) + ((i % 9) - 4) * 5;
      disc(lower.inside, "explore-mark is-second", [lower.x(minus), at], 2.5);
      disc(lower.inside, "explore-mark is-first", [lower.x(plus), at], 2.5);
    });
    const pair = meanPair(MU, sigma, w);
    for (const [mark, z] of [["is-score", pair.minus], ["is-pathwise", pair.plus]]) {
      line(svg, `explore-thread ${mark}`, [upper.x(z), upper.y(f(z))], [lower.x(z), lower.y(0)]);
      disc(upper.inside, `explore-dot ${mark}`, [upper.x(z), upper.y(f(z))], 6);
      disc(lower.inside, `explore-dot ${mark}`, [lower.x(z), lower.y(0)], 6);
    }
  }
}
