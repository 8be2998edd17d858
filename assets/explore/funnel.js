// The cover: forty runs that close in on the derivative, next to torch.normal, through which backpropagation gives 0.
import { COUNTS, errorAt, EXACT, fortyRuns, funnel as draw, HEIGHT, thousands } from "./funnels.js";
import { player, slider, steering } from "./controls.js";
import { body, drawing, label, line, numbers, plusMinus, summary } from "./parts.js";

const TAKES = 5000; // ms from the first number of samples to the last
const LAST = COUNTS.length - 1;

export default function funnel(element) {
  const state = { at: LAST, seed: 0 };
  let runs = fortyRuns(state.seed);
  let first = 0;

  const root = body(element, "Forty runs of a gradient estimate, with a slider for the number of samples");
  const picture = drawing(root, { height: HEIGHT, describe, draw: drawFunnel });
  const { panel, again } = steering(root, state, update);
  const play = player(panel, "Play", {
    start: () => (first = state.at === LAST ? 0 : state.at),
    frame(ms) {
      set(Math.min(LAST, first + Math.floor((LAST * ms) / TAKES)));
      return state.at < LAST;
    },
  });
  const chosen = slider(panel, {
    name: "N", spoken: "number of samples", min: 0, max: LAST, step: 1, value: state.at, show: (at) => thousands(COUNTS[at]),
    change(at) {
      play.stop();
      set(at);
    },
  });
  again("Forty new runs", () => (runs = fortyRuns(state.seed)));
  const rows = [["is-pathwise", "z = mu + sigma * eps"], ["is-score", "z = torch.normal(mu, sigma)"]];
  const table = numbers(root, `Estimates of the derivative with respect to mu, which is ${EXACT}`, ["mu.grad, one run"], rows);
  const spoken = summary(root);
  update();

  function set(at) {
    if (at === state.at && at !== 0) return;
    state.at = at;
    chosen.set(at);
    update();
  }

  function update() {
    const count = COUNTS[state.at];
    const text = plusMinus(runs[0].pathwise[state.at], errorAt("pathwise", count));
    table.set([[text], ["0"]]);
    spoken.say(`With ${thousands(count)} samples, the estimate is ${text} with z = mu + sigma * eps, and 0 through torch.normal. The exact value is ${EXACT}.`);
    picture.update();
  }

  function describe() {
    return (
      `Forty lines of running means of the estimated gradient, drawn up to ${thousands(COUNTS[state.at])} samples, most of them inside a funnel of ` +
      `two standard errors that narrows around ${EXACT}. The line of torch.normal stays at 0.`
    );
  }

  function drawFunnel(svg, width) {
    const { x, y, inside } = draw(svg, width, {
      kind: "pathwise", runs, at: state.at, title: "estimated derivative with respect to mu", low: -22, ticks: [0, EXACT, 48, 72],
    });
    line(inside, "explore-line is-score is-thick", [x(COUNTS[0]), y(0)], [x(COUNTS[state.at]), y(0)]);
    label(inside, "is-score is-named is-end", [width - 24, y(0) + 18], "through torch.normal: 0");
    label(inside, "is-pathwise is-named is-end is-program", [width - 24, y(62)], "z = mu + sigma * eps");
  }
}
