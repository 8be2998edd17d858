// Chapter 5: the forward and the backward pass of y = (mu + sigma eps)^2, a step at a time.
import { passes as computed } from "./maths.js";
import { button, controls, player, slider } from "./controls.js";
import { body, drawing, fixed, line, points, summary } from "./parts.js";

const [MU, SIGMA] = [12, 42];
const BOX = { width: 100, height: 54 };
const WIDE = 640; // px: where explore.css sets drawings side by side
const HEIGHTS = { lying: 196, upright: 372 };
const PLACES = { sigma: [0, 0], s: [1, 0], eps: [1, 1], z: [2, 0], mu: [2, 1], y: [3, 0] }; // along the chain, and next to it
const FORMULAS = { sigma: "σ", eps: "ϵ", s: "s = σϵ", mu: "μ", z: "z = μ + s", y: "y = z²" };
const SYMBOLS = { sigma: "σ", mu: "μ" };
const STEP = { leaves: 0, s: 1, z: 2, y: 3, seed: 4, dz: 5, add: 6, dsigma: 7 };
const LAST = STEP.dsigma;
const BEAT = 1600; // ms a step, when it plays

const show = (x) => (Number.isInteger(x) ? fixed(x, 0) : fixed(x, 2).replace(/(\.\d)0$/, "$1"));
const factor = (x) => (x < 0 ? `(${show(x)})` : show(x)); // or a term, behind a sign

export default function steps(element) {
  const state = { step: 0, eps: 0.5 };
  let now;
  let first = 0; // the step that a play begins with

  const root = body(element, "The forward and the backward pass, a step at a time");
  const words = root.append("p").attr("class", "explore-step");
  const picture = drawing(root, { height: (width) => (width < WIDE ? HEIGHTS.upright : HEIGHTS.lying), describe: () => sentence(), draw });
  const panel = controls(root);
  const keys = panel.append("span").attr("class", "explore-pair");
  const play = player(keys, "Play", {
    start: () => go((first = state.step === LAST ? 0 : state.step)),
    frame(ms) {
      const step = Math.min(LAST, first + Math.floor(ms / BEAT));
      if (step !== state.step) go(step);
      return step < LAST;
    },
  });
  const asked = (step) => {
    play.stop();
    go(step);
  };
  const back = button(keys, "Back", () => asked(state.step - 1));
  const on = button(keys, "Next", () => asked(state.step + 1));
  const chosen = slider(panel, { name: "step", spoken: "step", min: 0, max: LAST, step: 1, value: 0, show: (x) => `${x} of ${LAST}`, change: asked });
  slider(panel, {
    name: "ϵ", spoken: "epsilon", min: -2, max: 2, step: 0.25, value: state.eps, show,
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
    words.text(sentence());
    spoken.say(sentence());
    picture.update();
  }

  function sentence() {
    const { s, z, y, dz, dmu, ds, dsigma } = now;
    const eps = show(state.eps);
    return [
      `The parameters are μ = ${MU} and σ = ${SIGMA}, and the noise is ϵ = ${eps}.`,
      `Forward: s = σϵ = ${SIGMA} × ${factor(state.eps)} = ${show(s)}. The factor ϵ is kept for the backward pass.`,
      `Forward: z = μ + s = ${MU} + ${factor(s)} = ${show(z)}. A sum does not need to keep anything.`,
      `Forward: y = z² = ${show(y)}. The value z = ${show(z)} is kept.`,
      "Backward: we start at the result, where dy/dy = 1.",
      `Backward through the square: dy/dz = 1 × 2z = ${show(dz)}, with the kept z = ${show(z)}.`,
      `Backward through the sum, to both terms: dy/dμ = ${show(dz)} × 1 = ${show(dmu)} and dy/ds = ${show(ds)}.`,
      `Backward through the product: dy/dσ = ${show(ds)} × ϵ = ${show(dsigma)}, with the kept ϵ = ${eps}.`,
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
    const lies = width >= WIDE;
    const along = lies ? (width - BOX.width - 4) / 3 : (HEIGHTS.upright - BOX.height - 4) / 3;
    const beside = lies ? HEIGHTS.lying - BOX.height - 4 : Math.min(260, width - BOX.width - 12);
    const middle = lies ? 2 : Math.max(6, (width - BOX.width - beside) / 2);
    const corner = (name) => {
      const [a, b] = PLACES[name];
      return lies ? [middle + a * along, 2 + b * beside] : [middle + b * beside, 2 + a * along];
    };

    const eps = show(state.eps);
    const edges = [
      ["sigma", "s", STEP.s, SIGMA, STEP.dsigma, `${show(ds)} × ${factor(state.eps)}`],
      ["eps", "s", STEP.s, eps],
      ["s", "z", STEP.z, show(s), STEP.add, `${show(dz)} × 1`],
      ["mu", "z", STEP.z, MU, STEP.add, `${show(dz)} × 1`],
      ["z", "y", STEP.y, show(z), STEP.dz, `1 × 2 · ${factor(z)}`],
    ];
    for (const [from, to, forth, value, fro, message] of edges) {
      edge(svg, corner(from), corner(to), "forward", { shown: reached(forth), fresh: state.step === forth, text: value });
      if (fro) edge(svg, corner(from), corner(to), "backward", { shown: reached(fro), fresh: state.step === fro, text: message });
    }
    for (const name of Object.keys(PLACES)) {
      const box = svg.append("g").attr("class", "explore-node").attr("transform", `translate(${corner(name)})`).attr("data-node", name);
      box.classed("is-used", state.step === used[name]).classed("is-kept", reached(kept[name] ?? Infinity));
      box.append("rect").attr("width", BOX.width).attr("height", BOX.height).attr("rx", 5);
      const text = (at, kind, said) => box.append("text").attr("class", kind).attr("x", BOX.width / 2).attr("y", at).text(said);
      text(16, "explore-formula", FORMULAS[name]);
      if (values[name] !== false) text(32, "explore-forward", show(values[name]));
      const [since, gradient] = gradients[name] ?? [Infinity];
      if (reached(since)) text(48, "explore-backward", `dy/d${SYMBOLS[name] ?? name} = ${show(gradient)}`);
    }
  }

  /** An arrow between two boxes: forward to the left of the line between their centres or above it, backward on the other side. */
  function edge(svg, [x0, y0], [x1, y1], way, { shown, fresh, text }) {
    const group = svg.append("g").attr("class", `explore-edge is-${way}`).classed("is-shown", shown).classed("is-fresh", fresh);
    const aside = way === "forward" ? -9 : 9;
    const upright = x0 === x1;
    const [dx, dy] = [Math.sign(x1 - x0), Math.sign(y1 - y0)];
    const start = [x0 + (BOX.width / 2) * (1 + dx), y0 + (BOX.height / 2) * (1 + dy)];
    const end = [x1 + (BOX.width / 2) * (1 - dx), y1 + (BOX.height / 2) * (1 - dy)];
    for (const point of [start, end]) point[upright ? 0 : 1] += aside;
    const centre = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
    const [from, to] = way === "forward" ? [start, end] : [end, start];
    const [ux, uy] = way === "forward" ? [dx, dy] : [-dx, -dy];
    line(group, "", from, shown ? [to[0] - 8 * ux, to[1] - 8 * uy] : to);
    if (!shown) return;
    const wing = (side) => [to[0] - 10 * ux - 5 * side * uy, to[1] - 10 * uy + 5 * side * ux];
    group.append("polygon").attr("points", points([to, wing(1), wing(-1)]));
    const note = group.append("text").attr("x", centre[0] + (upright ? aside : 0)).attr("y", centre[1] + (upright ? 5 : aside < 0 ? -7 : 17));
    note.attr("text-anchor", upright ? (aside < 0 ? "end" : "start") : "middle").text(text);
  }
}
