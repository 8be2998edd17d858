// What the figures compute: densities, closed forms, samples of gradients. Pure functions of numbers and arrays.

const LARGEST_LEAD = 30; // of one score over another: beyond it lies less than 1e-12 of the probability

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

/** Running means of both estimators of d/dmu E[z^2], from the same draws, after each of `counts` (rising) draws. */
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

/** softmax(scores / tau), computed from the largest score down, so that nothing overflows. */
export function softmax(scores, tau) {
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp((score - top) / tau));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

/** One sample of d/dtheta_k E[(c y)^2] for y = softmax(scores / tau), scores = theta + noise. */
export function relaxedGradient(y, c, tau, k) {
  const value = y.reduce((sum, part, i) => sum + part * c[i], 0);
  return (2 / tau) * value * y[k] * (c[k] - value);
}

/** The exact derivative: d/dtheta_k of sum_i pi_i c_i^2 with pi = softmax(theta). */
export function categoricalGradient(pi, c, k) {
  const mean = pi.reduce((sum, p, i) => sum + p * c[i] ** 2, 0);
  return pi[k] * (c[k] ** 2 - mean);
}

/**
 * Mean and variance of `relaxedGradient` for three classes, by quadrature.
 *
 * For each winner m the leads a and b of its score over the two others have the density
 * 2 pi_m pi_i pi_j e^(a+b) / (pi_m + pi_i e^a + pi_j e^b)^3. With a = u^3 the nodes crowd where the leads are small.
 */
export function relaxedMoments(pi, c, tau, k, { nodes, weights } = gaussLegendre(48)) {
  const half = Math.cbrt(LARGEST_LEAD) / 2;
  const roots = nodes.map((x) => half * (x + 1));
  const growth = roots.map((u) => Math.exp(u ** 3));
  const share = roots.map((u) => Math.exp(-(u ** 3) / tau)); // of the winner's power, before the softmax divides
  const steps = roots.map((u, a) => weights[a] * half * 3 * u ** 2);
  let first = 0;
  let second = 0;
  for (let m = 0; m < 3; m++) {
    const [i, j] = [(m + 1) % 3, (m + 2) % 3];
    for (let a = 0; a < roots.length; a++) {
      for (let b = 0; b < roots.length; b++) {
        const rates = [pi[m], pi[i] * growth[a], pi[j] * growth[b]];
        const density = (2 * rates[0] * rates[1] * rates[2]) / (rates[0] + rates[1] + rates[2]) ** 3;
        const total = 1 + share[a] + share[b];
        const y = [0, 0, 0];
        y[m] = 1 / total;
        y[i] = share[a] / total;
        y[j] = share[b] / total;
        const gradient = relaxedGradient(y, c, tau, k);
        const weight = steps[a] * steps[b] * density;
        first += weight * gradient;
        second += weight * gradient ** 2;
      }
    }
  }
  return { mean: first, variance: second - first ** 2 };
}

/** Nodes and weights of Gauss-Legendre quadrature on [-1, 1], by Newton's method on the Legendre polynomial. */
export function gaussLegendre(count) {
  const nodes = [];
  const weights = [];
  for (let k = 0; k < count; k++) {
    let x = Math.cos((Math.PI * (k + 0.75)) / (count + 0.5));
    let slope;
    for (let round = 0; round < 8; round++) {
      let before = 1;
      let value = x;
      for (let n = 2; n <= count; n++) {
        [before, value] = [value, ((2 * n - 1) * x * value - (n - 1) * before) / n];
      }
      slope = (count * (before - x * value)) / (1 - x * x);
      x -= value / slope;
    }
    nodes.push(x);
    weights.push(2 / ((1 - x * x) * slope ** 2));
  }
  return { nodes, weights };
}
