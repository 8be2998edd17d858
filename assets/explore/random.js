// Random numbers with a seed: the Mersenne Twister and the polar method, which give the numbers of numpy.random.RandomState.

const LENGTH = 624;
const SHIFT = 397;

/** A function that returns uniform numbers in [0, 1) with 53 random bits; `seed` is a whole number from 0 to 2^32 - 1. */
export function uniformSource(seed) {
  const state = new Uint32Array(LENGTH);
  state[0] = seed;
  for (let i = 1; i < LENGTH; i++) {
    state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }
  let next = LENGTH;

  function renew() {
    for (let i = 0; i < LENGTH; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % LENGTH] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % LENGTH] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    next = 0;
  }

  function bits32() {
    if (next === LENGTH) renew();
    let bits = state[next++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  return () => {
    const high = bits32() >>> 5;
    return (high * 2 ** 26 + (bits32() >>> 6)) / 2 ** 53;
  };
}

/** `count` samples of N(0, 1), by the polar method. */
export function normals(uniform, count) {
  const draws = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    let x, y, square;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const scale = Math.sqrt((-2 * Math.log(square)) / square);
    draws[i] = scale * y;
    if (i + 1 < count) draws[i + 1] = scale * x;
  }
  return draws;
}

/** One sample of the standard Gumbel distribution, -log(-log u). A u of 0 would give an infinity, and is drawn again. */
export function gumbel(uniform) {
  let u;
  do u = uniform();
  while (u === 0);
  return -Math.log(-Math.log(u));
}

/** One sample of the Rayleigh distribution: the root of twice a standard exponential variable. */
export function rayleigh(uniform) {
  return Math.sqrt(-2 * Math.log(1 - uniform()));
}

/**
 * The first `count` points of the two-dimensional Sobol sequence in [0, 1)^2. `shift`, two numbers from there, moves every
 * point by the same random digits (exclusive or), after which each point is uniform, and the net is a net still.
 */
export function sobol(count, shift = [0, 0]) {
  const directions = [[], []];
  let odd = 1;
  for (let j = 31; j >= 0; j--) {
    directions[0].push(2 ** j);
    directions[1].push(odd * 2 ** j);
    odd = (odd ^ (odd << 1)) >>> 0; // m_j = 2 m_(j-1) xor m_(j-1)
  }
  const state = shift.map((x) => Math.floor(x * 2 ** 32) >>> 0);
  const found = [];
  for (let n = 0; n < count; n++) {
    found.push(state.map((bits) => bits / 2 ** 32));
    let lowest = 0; // the lowest digit of n that is 0: the next point in Gray code's order differs there
    while ((n >> lowest) & 1) lowest += 1;
    state.forEach((bits, axis) => (state[axis] = (bits ^ directions[axis][lowest]) >>> 0));
  }
  return found;
}
