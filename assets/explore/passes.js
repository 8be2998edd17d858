// Chapter 5: the forward and the backward pass of y = (mu + sigma eps)^2, a step at a time.
import { passes as computed } from "./maths.js";
import { body, button, controls, drawing, fixed, slider, summary } from "./parts.js";

const [MU, SIGMA] = [12, 42];
const HEIGHT = 372;
const BOX = { width: 92, height: 52 };
const PLACES = { sigma: [0, 0], s: [0, 1], eps: [1, 1], z: [0, 2], mu: [1, 2], y: [0, 3] };
const FORMULAS = { sigma: "σ", eps: "ε", s: "s = σε", mu: "μ", z: "z = μ + s", y: "y = z²" };
const STEP = { leaves: 0, s: 1, z: 2, y: 3, seed: 4, dz: 5, add: 6, dsigma: 7 };
const LAST = STEP.dsigma;

const show = (x) => (Number.isInteger(x) ? fixed(x, 0) : fixed(x, 2).replace(/(\.\d)0$/, "$1"));

export default function steps(element) {
  const state = { step: 0, eps: 0.5 };
  let now;

  const root = body(element, "The forward and the backward pass, a step at a time");
  const line = root.append("p").attr("class", "explore-step");
  const picture = drawing(root, { height: HEIGHT, describe: () => sentence(), draw });
  const panel = controls(root);
  const pair = panel.append("span").attr("class", "explore-pair");
  const back = button(pair, "Back", () => go(state.step - 1));
  const on = button(pair, "Next", () => go(state.step + 1));
  const chosen = slider(panel, { name: "step", spoken: "step", min: 0, max: LAST, step: 1, value: 0, show: (x) => `${x} of ${LAST}`, change: go });
  slider(panel, {
    name: "ε", spoken: "epsilon", min: -2, max: 2, step: 0.25, value: state.eps, show,
    change: (eps) => {
      state.eps = eps;
      update();
    },
  });
  const spoken = summary(root);
  update();

  function go(step) {
    state.step = Math.min(LAST, Math.max(0, step));
    chosen.set(state.step);
    update();
  }

  function update() {
    now = computed(MU, SIGMA, state.eps);
    back.attr("aria-disabled", state.step === 0);
    on.attr("aria-disabled", state.step === LAST);
    line.text(sentence());
    spoken.say(sentence());
    picture.update();
  }

  function sentence() {
    const { s, z, y, dz, dmu, ds, dsigma } = now;
    const eps = show(state.eps);
    return [
      `The parameters μ = ${MU} and σ = ${SIGMA}, and the noise ε = ${eps}.`,
      `Forward: s = σε = ${SIGMA} × ${eps} = ${show(s)}. The factor ε is kept for the way back.`,
      `Forward: z = μ + s = ${MU} + ${show(s)} = ${show(z)}. A sum needs to keep nothing.`,
      `Forward: y = z² = ${show(y)}. The value z = ${show(z)} is kept.`,
      "Backward: it begins at the end, with dy/dy = 1.",
      `Backward through the square: dy/dz = 1 × 2z = ${show(dz)}, from the kept z = ${show(z)}.`,
      `Backward through the sum, to both sides: dy/dμ = ${show(dz)} × 1 = ${show(dmu)} and dy/ds = ${show(ds)}.`,
      `Backward through the product: dy/dσ = ${show(ds)} × ε = ${show(dsigma)}, from the kept ε = ${eps}.`,
    ][state.step];
  }

  function draw(svg, width) {
    const { s, z, y, dz, dmu, ds, dsigma } = now;
    const reached = (step) => state.step >= step;
    const values = { sigma: SIGMA, eps: state.eps, mu: MU, s: reached(STEP.s) && s, z: reached(STEP.z) && z, y: reached(STEP.y) && y };
    const gradients = {
      y: [STEP.seed, 1], z: [STEP.dz, dz], s: [STEP.add, ds], mu: [STEP.add, dmu], sigma: [STEP.dsigma, dsigma],
    };
    const kept = { z: STEP.y, eps: STEP.s };
    const used = { z: STEP.dz, eps: STEP.dsigma };
        const gap = (HEIGHT - BOX.height - 8) / 3;
    const left = Math.max(6, width / 2 - 170);
    const right = Math.min(left + 260, width - BOX.width - 6);
    const corner = (name) => [PLACES[name][0] ? right : left, 4 + PLACES[name][1] * gap];

    const eps = show(state.eps);
    const edges = [
      ["sigma", "s", STEP.s, SIGMA, STEP.dsigma, `${show(ds)} × ${eps} = ${show(dsigma)}`],
      ["eps", "s", STEP.s, eps],
      ["s", "z", STEP.z, show(s), STEP.add, `${show(dz)} × 1 = ${show(ds)}`],
      ["mu", "z", STEP.z, MU, STEP.add, `${show(dz)} × 1 = ${show(dmu)}`],
      ["z", "y", STEP.y, show(z), STEP.dz, `1 × 2 · ${show(z)} = ${show(dz)}`],
    ];
    arrowheads(svg);
    for (const [from, to, forth, value, fro, message] of edges) {
      edge(svg, corner(from), corner(to), "forward", { shown: reached(forth), fresh: state.step === forth, text: value });
      if (fro) edge(svg, corner(from), corner(to), "backward", { shown: reached(fro), fresh: state.step === fro, text: message });
    }
    for (const name of Object.keys(PLACES)) {
      const [x, top] = corner(name);
      const box = svg.append("g").attr("class", "explore-node").attr("transform", `translate(${x},${top})`).attr("data-node", name);
      box.classed("is-used", state.step === used[name]).classed("is-kept", reached(kept[name] ?? Infinity));
      box.append("rect").attr("width", BOX.width).attr("height", BOX.height).attr("rx", 5);
      const text = (at, kind, words) => box.append("text").attr("class", kind).attr("x", BOX.width / 2).attr("y", at).text(words);
      text(16, "explore-formula", FORMULAS[name]);
      if (values[name] !== false) text(32, "explore-forward", show(values[name]));
      const [since, gradient] = gradients[name] ?? [Infinity];
      if (reached(since)) text(47, "explore-backward", `dy/d${name === "mu" ? "μ" : name === "sigma" ? "σ" : name} = ${show(gradient)}`);
    }
  }

  function arrowheads(svg) {
    const heads = svg.append("defs");
    for (const way of ["forward", "backward"]) {
      const head = heads.append("marker").attr("id", `explore-${way}`).attr("viewBox", "0 0 8 8").attr("refX", 7).attr("refY", 4);
      head.attr("markerUnits", "userSpaceOnUse").attr("markerWidth", 9).attr("markerHeight", 9).attr("orient", "auto-start-reverse");
      head.append("path").attr("class", `is-${way}`).attr("d", "M0 0 8 4 0 8z");
    }
  }

  function edge(svg, [x0, y0], [x1, y1], way, { shown, fresh, text }) {
    const upright = x0 === x1;
    const aside = way === "forward" ? -8 : 8;
    let [from, to] = upright
      ? [[x0 + BOX.width / 2 + aside, y0 + BOX.height], [x1 + BOX.width / 2 + aside, y1]]
      : [[x0, y0 + BOX.height / 2 + aside], [x1 + BOX.width, y1 + BOX.height / 2 + aside]];
    const middle = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
    if (way === "backward") [from, to] = [to, from];
    const group = svg.append("g").attr("class", `explore-edge is-${way}`).classed("is-shown", shown).classed("is-fresh", fresh);
    const arrow = group.append("line").attr("x1", from[0]).attr("y1", from[1]).attr("x2", to[0]).attr("y2", to[1]);
    if (!shown) return;
    arrow.attr("marker-end", `url(#explore-${way})`);
    const label = group.append("text").attr("x", middle[0] + (upright ? aside : 0)).attr("y", middle[1] + (upright ? 4 : aside < 0 ? -6 : 16));
    label.attr("text-anchor", upright ? (aside < 0 ? "end" : "start") : "middle").text(text);
  }
}
