// What the figures compute of normal variables: densities, closed forms, samples of gradients. Pure functions.

/** Mean of an array, and the standard error of this mean; the latter is NaN for a single number. */
export function estimate(samples) {
  let mean = 0;
  let squares = 0;
  samples.forEach((x, i) => {
    const step = x - mean;
    mean += step / (i + 1);
    squares += step * (x - mean);
  });
  return { mean, error: Math.sqrt(squares / (samples.length - 1) / samples.length) };
}

/** Density of N(mu, sigma^2) at z. */
export function normalDensity(z, mu, sigma) {
  return Math.exp(-(((z - mu) / sigma) ** 2) / 2) / (sigma * Math.sqrt(2 * Math.PI));
}

/** d/dmu and d/dsigma of E[sin z], z ~ N(mu, sigma^2): exp(-sigma^2 / 2) times (cos mu, -sigma sin mu). */
export function sineGradient(mu, sigma) {
  const damping = Math.exp(-(sigma ** 2) / 2);
  return { mu: damping * Math.cos(mu), sigma: -sigma * damping * Math.sin(mu) };
}

/** One pathwise sample of that gradient, for a given eps. */
export function sinePathwise(mu, sigma, eps) {
  const slope = Math.cos(mu + sigma * eps);
  return { mu: slope, sigma: slope * eps };
}

/** The score of N(mu, sigma^2) at z: d log q / dmu and d log q / dsigma. */
export function normalScore(z, mu, sigma) {
  const eps = (z - mu) / sigma;
  return { mu: eps / sigma, sigma: (eps ** 2 - 1) / sigma };
}

/** Variance of one sample of d/dmu E[z^2], z ~ N(mu, sigma^2), by estimator. */
export function squareVariance(mu, sigma) {
  return { pathwise: 4 * sigma ** 2, score: mu ** 4 / sigma ** 2 + 14 * mu ** 2 + 15 * sigma ** 2 };
}

/** Running means of both estimators of d/dmu E[z^2], from the same samples, after each of `counts` (rising) samples. */
export function squareRunningMeans(eps, mu, sigma, counts) {
  const means = { pathwise: [], score: [] };
  let pathwise = 0;
  let score = 0;
  let seen = 0;
  for (const count of counts) {
    for (; seen < count; seen++) {
      const z = mu + sigma * eps[seen];
      pathwise += 2 * z;
      score += z * z * normalScore(z, mu, sigma).mu;
    }
    means.pathwise.push(pathwise / count);
    means.score.push(score / count);
  }
  return means;
}

/** Values and derivatives of y = (mu + sigma eps)^2 by way of s = sigma eps and z = mu + s. */
export function passes(mu, sigma, eps) {
  const s = sigma * eps;
  const z = mu + s;
  const dz = 2 * z;
  return { s, z, y: z ** 2, dy: 1, dz, dmu: dz, ds: dz, dsigma: dz * eps };
}

/** Variance of one sample of (z^2 - b) times the score for mu, z ~ N(mu, sigma^2): a parabola in the baseline b. */
export function baselineVariance(mu, sigma, b) {
  return 8 * mu ** 2 + 6 * sigma ** 2 + ((b - bestBaseline(mu, sigma)) / sigma) ** 2;
}

/** The baseline with the least variance, E[z^2 S^2] / E[S^2] for the score S: mu^2 + 3 sigma^2. */
export function bestBaseline(mu, sigma) {
  return mu ** 2 + 3 * sigma ** 2;
}

/** The pair z = mu -/+ sigma w of the measure-valued derivative with respect to mu, and the factor of its difference of f. */
export function meanPair(mu, sigma, w) {
  return { minus: mu - sigma * w, plus: mu + sigma * w, factor: 1 / (sigma * Math.sqrt(2 * Math.PI)) };
}

/** The mean and the standard deviation of e^(x + y) for x and y uniform on (0, 1). */
export function exponentialMoments() {
  const mean = (Math.E - 1) ** 2;
  return { mean, deviation: Math.sqrt(((Math.E ** 2 - 1) / 2) ** 2 - mean ** 2) };
}

/** Which of columns x rows equal boxes of the unit square, counted row by row, hold none of the points. */
export function emptyBoxes(points, columns, rows) {
  const taken = new Set(points.map(([x, y]) => Math.floor(x * columns) + columns * Math.floor(y * rows)));
  return Array.from({ length: columns * rows }, (_, box) => box).filter((box) => !taken.has(box));
}
