// What chapter 9 and the cover share: many runs of the estimators of d/dmu E[z^2], and the funnel of two standard errors.
import { format } from "./vendor/d3.js";
import { squareRunningMeans, squareVariance } from "./maths.js";
import { chart, curve, disc, line, points } from "./parts.js";
import { normals, uniformSource } from "./random.js";

export const MU = 12;
export const SIGMA = 42;
export const EXACT = 2 * MU;
export const RUNS = 40;
export const HEIGHT = 270;
const RANGE = 60; // of the errors shown, on both sides
const FEWEST = 10;
const MOST = 10_000;
const VARIANCE = squareVariance(MU, SIGMA);
const STEPS = 90;

/** The numbers of samples at which a run is shown, evenly spaced on a logarithmic axis. */
export const COUNTS = Array.from({ length: STEPS + 1 }, (_, i) => Math.round(FEWEST * (MOST / FEWEST) ** (i / STEPS)));
export const thousands = format(",");

/** The exact standard error of an estimate from so many samples. */
export function errorAt(kind, count) {
  return Math.sqrt(VARIANCE[kind] / count);
}

/** Running means of both estimators, for forty runs, each with samples of its own. */
export function fortyRuns(seed) {
  const uniform = uniformSource(seed);
  return Array.from({ length: RUNS }, () => squareRunningMeans(normals(uniform, MOST), MU, SIGMA, COUNTS));
}

/** A chart of the runs' running means in their funnel up to COUNTS[at], with a dot on the first run. */
export function funnel(svg, width, { kind, runs, at, title, left, low = EXACT - RANGE, ticks }) {
  const y = { domain: [low, EXACT + RANGE], ticks };
  const x = { domain: [FEWEST, MOST], log: true, ticks: [10, 100, 1e3, 1e4], format: format("~s"), name: "number of samples N" };
  const scales = chart(svg, { left, width, height: HEIGHT, title, x, y });
  const { inside } = scales;
  const edge = (sign) => COUNTS.map((count) => [scales.x(count), scales.y(EXACT + 2 * sign * errorAt(kind, count))]);
  inside.append("polygon").attr("class", `explore-band is-${kind}`).attr("points", points([...edge(1), ...edge(-1).reverse()]));
  line(inside, "explore-exact", [scales.x(FEWEST), scales.y(EXACT)], [scales.x(MOST), scales.y(EXACT)]);
  const path = (run) => COUNTS.slice(0, at + 1).map((count, i) => [scales.x(count), scales.y(run[kind][i])]);
  for (const run of runs.slice(1)) curve(inside, `explore-line is-past is-${kind}`, path(run));
  curve(inside, `explore-line is-${kind}`, path(runs[0]));
  const here = scales.x(COUNTS[at]);
  line(inside, "explore-here", [here, scales.y.range()[0]], [here, scales.y.range()[1]]);
  disc(inside, `explore-dot is-${kind}`, [here, scales.y(runs[0][kind][at])], 5);
  return scales;
}
