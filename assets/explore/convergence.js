// Chapter 9: forty runs of two estimators of d/dmu E[z^2] from the same samples, inside their standard-error funnels.
import { steering } from "./controls.js";
import { body, drawing, fixed, numbers, plusMinus, row, summary } from "./parts.js";
import { COUNTS, errorAt, EXACT, fortyRuns, funnel, HEIGHT, RUNS, thousands } from "./funnels.js";

const NAMES = { pathwise: "pathwise", score: "score function" };

export default function convergence(element) {
  const state = { at: COUNTS.indexOf(1000), seed: 0 };
  let runs = fortyRuns(state.seed);

  const root = body(element, "Forty runs of two estimators, with a slider for the number of samples");
  const panels = row(root);
  const pictures = Object.keys(NAMES).map((kind) =>
    drawing(panels, { height: HEIGHT, describe: () => describe(kind), draw: (svg, width) => draw(svg, width, kind) }),
  );
  const { slider, again } = steering(root, state, update);
  slider("at", { name: "N", spoken: "number of samples", min: 0, max: COUNTS.length - 1, step: 1, show: (at) => thousands(COUNTS[at]) });
  again("Forty new runs", () => (runs = fortyRuns(state.seed)));
  const rows = Object.entries(NAMES).map(([kind, name]) => [`is-${kind}`, name]);
  const columns = ["one run ± std. error", "z-score", "runs within ±2 std. errors"];
  const table = numbers(root, `Estimates of ${EXACT}, with the exact standard error`, columns, rows);
  const spoken = summary(root);
  update();

  function update() {
    const count = COUNTS[state.at];
    const texts = Object.keys(NAMES).map((kind) => {
      const error = errorAt(kind, count);
      const distances = runs.map((run) => (run[kind][state.at] - EXACT) / error);
      const within = distances.filter((z) => Math.abs(z) <= 2).length;
      return [plusMinus(runs[0][kind][state.at], error), (distances[0] > 0 ? "+" : "") + fixed(distances[0], 2), `${within} of ${RUNS}`];
    });
    table.set(texts);
    spoken.say(
      `With ${thousands(count)} samples: pathwise ${texts[0][0]}, score function ${texts[1][0]}. The exact value is ${EXACT}. ` +
        `${texts[0][2]} pathwise runs and ${texts[1][2]} score-function runs lie within two standard errors.`,
    );
    for (const picture of pictures) picture.update();
  }

  function describe(kind) {
    return (
      `${NAMES[kind]}: running means of forty runs against the number of samples, from ${COUNTS[0]} to ${thousands(COUNTS.at(-1))}, ` +
      `around ${EXACT}, in a funnel of two standard errors that narrows like one over the square root of N.`
    );
  }

  function draw(svg, width, kind) {
    funnel(svg, width, { kind, runs, at: state.at, title: `${NAMES[kind]}: running means (exact: ${EXACT})`, ticks: [-24, 0, 24, 48, 72] });
  }
}
