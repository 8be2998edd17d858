// Chapter 11: random points and Sobol points fill the unit square, the boxes that they leave empty, and the errors of a mean.
import { emptyBoxes, exponentialMoments } from "./maths.js";
import { player, steering } from "./controls.js";
import { body, disc, drawing, fixed, label, numbers, row, summary } from "./parts.js";
import { sobol as sobolPoints, uniformSource } from "./random.js";

const REPETITIONS = 40;
const SIZES = { fewest: 2, most: 10, first: 6 }; // powers of two
const DOUBLING_TAKES = 1000; // ms
const TOP = 22;
const side = (width) => Math.min(width - 2, 360);
const NAMES = { random: "random points", sobol: "Sobol points" };
const MARKS = { random: "is-score", sobol: "is-pathwise" }; // the colours of the static figure

export default function sobol(element) {
  const state = { power: SIZES.first, seed: 0 };
  const exact = exponentialMoments();
  let sets; // forty of each kind, of which the first are shown
  let found;
  let shown; // how many points there are so far, all of them when nothing moves

  const root = body(element, "Random points and Sobol points in a square, with a slider for their number");
  const panels = row(root);
  const pictures = Object.keys(NAMES).map((kind) =>
    drawing(panels, { height: (width) => TOP + side(width) + 2, describe: () => describe(kind), draw: (svg, width) => draw(svg, width, kind) }),
  );
  const { panel, slider, again } = steering(root, state, () => {
    motion.stop();
    update();
  });
  const motion = player(panel, "Fill", { frame: fill });
  const power = slider("power", { name: "N", spoken: "number of points", min: SIZES.fewest, max: SIZES.most, step: 1, show: (power) => `${2 ** power}` });
  again("New points", drawSets);
  const columns = ["empty boxes", "error of one mean", "r.m.s. error of 40"];
  const table = numbers(root, "Empty boxes, and errors of the mean of e^(x + y)", columns, Object.entries(NAMES).map(([kind, name]) => [MARKS[kind], name]));
  const spoken = summary(root);
  drawSets();
  update();

  function drawSets() {
    const most = 2 ** SIZES.most;
    const uniform = uniformSource(state.seed);
    const pair = () => [uniform(), uniform()];
    sets = { random: [], sobol: [] };
    for (let i = 0; i < REPETITIONS; i++) {
      sets.sobol.push(sobolPoints(most, pair()));
      sets.random.push(Array.from({ length: most }, pair));
    }
  }

  /** Adds points one by one, with the boxes of the next power of two. */
  function fill(ms) {
    const exponent = Math.min(SIZES.most, SIZES.fewest + ms / DOUBLING_TAKES);
    state.power = Math.ceil(exponent);
    power.set(state.power);
    const goesOn = exponent < SIZES.most;
    update(Math.floor(2 ** exponent), !goesOn);
    return goesOn;
  }

  /** Shows the first points of each kind, and the errors of the means over them. */
  function update(count = 2 ** state.power, rests = true) {
    shown = count;
    const boxes = 2 ** state.power;
    const across = 2 ** Math.ceil(state.power / 2);
    const down = boxes / across;
    const error = (points) => points.reduce((sum, [x, y]) => sum + Math.exp(x + y), 0) / points.length - exact.mean;
    found = {};
    for (const kind of Object.keys(NAMES)) {
      const errors = sets[kind].map((points) => error(points.slice(0, count)));
      const whole = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / REPETITIONS);
      const points = sets[kind][0].slice(0, count);
      found[kind] = { points, across, down, empty: emptyBoxes(points, across, down), error: errors[0], whole };
    }
    const texts = Object.keys(NAMES).map((kind) => [`${found[kind].empty.length} of ${boxes}`, fixed(found[kind].error, 5), fixed(found[kind].whole, 5)]);
    table.set(texts);
    const said = ([empty, , whole]) => `leave ${empty} boxes empty, with a root mean squared error of ${whole}`;
    if (rests) spoken.say(`With ${count} points, random points ${said(texts[0])}, and Sobol points ${said(texts[1])}.`);
    for (const picture of pictures) picture.update();
  }

  function describe(kind) {
    return `${shown} ${NAMES[kind]} in a square divided into ${2 ** state.power} equal boxes. Empty boxes, which are shaded: ${found[kind].empty.length}.`;
  }

  function draw(svg, width, kind) {
    const { points, across, down, empty } = found[kind];
    const size = side(width);
    const [wide, high] = [size / across, size / down];
    label(svg, "", [0, 14], `${shown} ${NAMES[kind]}, empty boxes: ${empty.length}`);
    const square = svg.append("g").attr("transform", `translate(1,${TOP})`);
    for (const box of empty) {
      const place = square.append("rect").attr("class", "explore-empty").attr("x", (box % across) * wide).attr("width", wide);
      place.attr("y", size - (Math.floor(box / across) + 1) * high).attr("height", high);
    }
    for (let i = 0; i <= across; i++) square.append("path").attr("class", "explore-grid").attr("d", `M${i * wide} 0V${size}`);
    for (let i = 0; i <= down; i++) square.append("path").attr("class", "explore-grid").attr("d", `M0 ${i * high}H${size}`);
    const r = Math.max(1.5, Math.min(4, wide / 6));
    for (const [x, y] of points) disc(square, `explore-point ${MARKS[kind]}`, [x * size, size - y * size], r);
  }
}
