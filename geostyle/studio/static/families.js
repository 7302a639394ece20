// Families of warps: theta → map, and theta at another strength, as geostyle/warps has them.
// A warp is {family, lattice, theta, …}; theta holds offsets from the identity.

import { features, weightsOf } from './spline.js';

export const SPLINES = ['tps', 'affine+tps'];
const EYE = [1, 0, 0, 0, 1, 0];

export const affineOf = (theta) => EYE.map((value, i) => value + theta[i]);
const thetaOf = (affine) => affine.map((value, i) => value - EYE[i]);

export function affineInverse([a, b, c, d, e, f]) {
  const determinant = a * e - b * d;
  const [p, q, r, s] = [e, -b, -d, a].map((value) => value / determinant);
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

export const applyAffine = ([a, b, c, d, e, f], x, y) => [a * x + b * y + c, d * x + e * y + f];

// The function that maps an output point (x, y) to the content's [x, y].
export function mapOf(warp) {
  const { family, lattice, theta } = warp;
  if (family === 'affine') return (x, y) => applyAffine(affineOf(theta), x, y);
  if (SPLINES.includes(family)) {
    const affine = family === 'tps' ? EYE : affineOf(theta);
    const offsets = offsetsOf(warp);
    const weights = weightsOf(offsets, lattice);
    const row = new Float64Array(lattice * lattice + 3);
    return (x, y) => {
      features(x, y, lattice, row);
      let [u, v] = [x, y];
      for (let f = 0; f < row.length; f++) {
        u += row[f] * weights[2 * f];
        v += row[f] * weights[2 * f + 1];
      }
      return applyAffine(affine, u, v);
    };
  }
  if (family === 'homography') {
    const affine = affineOf(theta);
    return (x, y) => {
      const w = 1 + theta[6] * x + theta[7] * y;
      const [u, v] = applyAffine(affine, x, y);
      return [u / w, v / w];
    };
  }
  if (family === 'biquadratic') {
    const affine = affineOf(theta);
    return (x, y) => {
      const [u, v] = applyAffine(affine, x, y);
      const [a, b, c, d, e, f] = theta.slice(6);
      return [u + a * x * x + b * x * y + c * y * y, v + d * x * x + e * x * y + f * y * y];
    };
  }
  return (x, y) => [x, y];
}

// The spline's offsets at its control points.
export const offsetsOf = ({ family, theta }) => (family === 'tps' ? theta : theta.slice(6));

// The parts of theta that the fold guard weakens one by one, each a warp of its own.
export function partsOf(warp) {
  if (warp.family !== 'affine+tps') return [{ warp, start: 0 }];
  return [
    { warp: { ...warp, family: 'affine', theta: warp.theta.slice(0, 6) }, start: 0 },
    { warp: { ...warp, family: 'tps', theta: warp.theta.slice(6) }, start: 6 },
  ];
}

// The warp at another strength: 0 gives none, 1 itself, above 1 exaggerates its shapes.
export function scaled(warp, strength) {
  const { family, theta } = warp;
  if (strength === 1 || family === 'none') return warp;
  const affine = theta.slice(0, 6);
  const rest = theta.slice(6);
  const times = (values) => values.map((value) => value * strength);
  const grown = () => (strength > 1 ? exaggerated : affinePower)(affine, strength, warp);
  if (family === 'tps') return { ...warp, theta: times(theta) };
  if (family === 'affine') return { ...warp, theta: grown() };
  if (family === 'affine+tps') return { ...warp, theta: [...grown(), ...times(rest)] };
  if (family === 'homography') {
    const plain = affine.map((value, i) => value - shiftTimes(affine, rest)[i]);
    const power = affinePower(plain, strength);
    const perspective = times(rest);
    const shift = shiftTimes(power, perspective);
    return { ...warp, theta: [...power.map((value, i) => value + shift[i]), ...perspective] };
  }
  const power = affinePower(affine, strength);
  const [a, b, , d, e] = affineOf(affine);
  const [p, q, , r, s] = affineOf(power);
  const determinant = a * e - b * d;
  const bend = [0, 1, 2].map((i) => {
    const [x, y] = [rest[i] * strength, rest[3 + i] * strength];
    const [u, v] = [(e * x - b * y) / determinant, (a * y - d * x) / determinant];
    return [p * u + q * v, r * u + s * v];
  });
  return { ...warp, theta: [...power, ...bend.map((pair) => pair[0]), ...bend.map((pair) => pair[1])] };
}

const shiftTimes = (affine, [g, h]) => [
  affine[2] * g, affine[2] * h, 0, affine[5] * g, affine[5] * h, 0,
];

// Affine theta whose stretch has the power `strength`; its shift, turn and zoom in pixels stay.
function exaggerated(theta, strength, { output_size: output, content_size: content }) {
  const [a, b, c, d, e, f] = affineOf(theta);
  const units = [
    content[1] / output[1], content[1] / output[0], content[0] / output[1], content[0] / output[0],
  ];
  const linear = [a, b, d, e].map((value, i) => value * units[i]);
  const [x, y] = [(linear[0] + linear[3]) / 2, (linear[2] - linear[1]) / 2];
  const area = linear[0] * linear[3] - linear[1] * linear[2];
  const zoom = Math.sqrt(area / (x * x + y * y));
  const similar = [x, -y, y, x].map((value) => value * zoom);
  const back = [x, y, -y, x].map((value) => (value * zoom) / area);
  const [p, q, r, s] = product(back, linear);
  const [t, u, , v, w] = affineOf(affinePower(thetaOf([p, q, 0, r, s, 0]), strength));
  const grown = product(similar, [t, u, v, w]).map((value, i) => value / units[i]);
  return thetaOf([grown[0], grown[1], c, grown[2], grown[3], f]);
}

// Theta of A^strength, by the matrix logarithm; of a half turn, by its polar decomposition.
export function affinePower(theta, strength) {
  if (strength === 1) return theta;
  const [a, b, c, d, e, f] = affineOf(theta);
  const determinant = a * e - b * d;
  const m = (a + e) / 2;
  const delta = ((a - e) / 2) ** 2 + b * d;
  if (m < 0 && delta >= 0) return halfTurnPower([a, b, c, d, e, f], strength);
  const omega = Math.sqrt(Math.abs(delta));
  const angle = delta < 0 ? Math.atan2(omega, m) : Math.atanh(omega / m);
  const perN = omega > 0 ? angle / omega : 1 / m;
  const diagonal = Math.log(determinant) / 2 - perN * m;
  const log = [diagonal + perN * a, perN * b, perN * d, diagonal + perN * e];
  const [p, q, r, s] = integral(log);
  const inverse = p * s - q * r;
  const drift = [(s * c - q * f) / inverse, (p * f - r * c) / inverse];
  const times = log.map((value) => value * strength);
  const [l, o, n, u] = exponential(times);
  const [i, j, k, t] = integral(times).map((value) => value * strength);
  return thetaOf([
    l, o, i * drift[0] + j * drift[1], n, u, k * drift[0] + t * drift[1],
  ]);
}

function halfTurnPower([a, b, c, d, e, f], strength) {
  const turn = Math.atan2(d - b, a + e);
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  // The stretch Rᵀ·M is symmetric: its eigenvectors are those of a turn by `half`.
  const [p, q, s] = [cos * a + sin * d, cos * b + sin * e, -sin * b + cos * e];
  const half = Math.atan2(2 * q, p - s) / 2;
  const [x, y] = [Math.cos(half), Math.sin(half)];
  const values = [
    x * x * p + 2 * x * y * q + y * y * s, y * y * p - 2 * x * y * q + x * x * s,
  ].map((value) => Math.abs(value) ** strength);
  const stretch = [
    x * x * values[0] + y * y * values[1], x * y * (values[0] - values[1]),
    y * y * values[0] + x * x * values[1],
  ];
  const [u, v] = [Math.cos(strength * turn), Math.sin(strength * turn)];
  const linear = [
    u * stretch[0] - v * stretch[1], u * stretch[1] - v * stretch[2],
    v * stretch[0] + u * stretch[1], v * stretch[1] + u * stretch[2],
  ];
  // About the same fixed point.
  const determinant = (1 - a) * (1 - e) - b * d;
  const fixed = [((1 - e) * c + b * f) / determinant, ((1 - a) * f + d * c) / determinant];
  return thetaOf([
    linear[0], linear[1], (1 - linear[0]) * fixed[0] - linear[1] * fixed[1],
    linear[2], linear[3], -linear[2] * fixed[0] + (1 - linear[3]) * fixed[1],
  ]);
}

// exp of a 2×2 matrix, and its integral ∫ exp(uL) du over [0, 1], by series after halving.
function exponential(matrix) {
  return series(matrix)[0];
}

function integral(matrix) {
  return series(matrix)[1];
}

function series(matrix) {
  const size = Math.max(...matrix.map(Math.abs));
  const halvings = Math.max(0, Math.ceil(Math.log2(size + 1e-300)) + 3);
  const small = matrix.map((value) => value / 2 ** halvings);
  let power = [1, 0, 0, 1];
  let sum = [1, 0, 0, 1];
  let whole = [1, 0, 0, 1];
  for (let n = 1; n < 16; n++) {
    power = product(power, small).map((value) => value / n);
    sum = sum.map((value, i) => value + power[i]);
    whole = whole.map((value, i) => value + power[i] / (n + 1));
  }
  for (let n = 0; n < halvings; n++) {
    // ∫₀² = ∫₀¹ + exp · ∫₀¹, and the interval is taken as [0, 1] again.
    whole = product(sum, whole).map((value, i) => (value + whole[i]) / 2);
    sum = product(sum, sum);
  }
  return [sum, whole];
}

function product([a, b, c, d], [p, q, r, s]) {
  return [a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s];
}
