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

/** `count` draws from N(0, 1), by the polar method. */
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

/** One draw from the standard Gumbel law, -log(-log u). A u of exactly 0 would give an infinity, and is drawn again. */
export function gumbel(uniform) {
  let u;
  do u = uniform();
  while (u === 0);
  return -Math.log(-Math.log(u));
}
