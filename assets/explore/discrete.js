// What the figures compute of discrete variables: races, relaxations, straight-through. Pure functions of numbers and arrays.

const LARGEST_LEAD = 30; // of one score over another: beyond it lies less than 1e-12 of the probability

/** Arrival times of runners with the given rates, exp(-score) for the scores log(rate) + noise, and the first to arrive. */
export function race(rates, noise) {
  const times = rates.map((rate, i) => Math.exp(-(Math.log(rate) + noise[i])));
  return { times, winner: times.indexOf(Math.min(...times)) };
}

/** f(y) = y + a (y^2 - y), which is 0 at 0 and 1 at 1 for every bend a. */
export function bent(y, a) {
  return y + a * (y * y - y);
}

/** f'(y) of this f: a sample of the straight-through gradient if y is one of Bernoulli(p). */
export function bentSlope(y, a) {
  return 1 + a * (2 * y - 1);
}

/** What straight-through converges to for this f, p f'(1) + (1 - p) f'(0) = 1 + a (2p - 1); the gradient is 1. */
export function straightThroughLimit(p, a) {
  return p * bentSlope(1, a) + (1 - p) * bentSlope(0, a);
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

/** The probabilities of the pixels for a code z: a layer of tanh units, a linear layer, and the logistic function. */
export function decode({ hidden, pixels }, z) {
  const units = linear(hidden, z).map(Math.tanh);
  return linear(pixels, units).map((logit) => 1 / (1 + Math.exp(-logit)));
}

/** A linear layer, whose weights are stored row after row. */
function linear({ weights, bias }, x) {
  return bias.map((b, row) => x.reduce((sum, value, column) => sum + weights[row * x.length + column] * value, b));
}
