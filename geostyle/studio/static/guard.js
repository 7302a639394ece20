// The fold guard of geostyle/warps/folds.py: weakens a warp until it does not fold.

import { basis } from './spline.js';
import { SPLINES, affineOf, mapOf, offsetsOf, partsOf } from './families.js';

const CELLS = 64;
const STEPS = 20;
const MARGIN = 0.02;
const lattices = new Map();

function checkLattice(k) {
  if (lattices.has(k)) return lattices.get(k);
  const side = Math.max(CELLS, 8 * k) + 1;
  const points = new Float64Array(2 * side * side);
  for (let row = 0, i = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      points[i++] = -1 + (2 * column) / (side - 1);
      points[i++] = -1 + (2 * row) / (side - 1);
    }
  }
  const found = { side, points, basis: k ? basis(points, k) : null };
  lattices.set(k, found);
  return found;
}

// Prepare what the guard of splines needs, which takes a moment the first time.
export const prepareGuard = (k) => void checkLattice(k);

// Where the guard's lattice goes under a part of a warp that is weakened to `factor`.
function mapper(part) {
  const spline = SPLINES.includes(part.family);
  const { side, points, basis: weights } = checkLattice(spline ? part.lattice : 0);
  const mapped = new Float64Array(points.length);
  if (!spline) {
    return (factor) => {
      const map = mapOf({ ...part, theta: part.theta.map((value) => value * factor) });
      for (let i = 0; i < points.length; i += 2) {
        [mapped[i], mapped[i + 1]] = map(points[i], points[i + 1]);
      }
      return { side, mapped };
    };
  }
  const shifts = follow(weights, offsetsOf(part), new Float64Array(points.length));
  return (factor) => {
    for (let i = 0; i < points.length; i++) mapped[i] = points[i] + factor * shifts[i];
    return { side, mapped };
  };
}

// basis · offsets, into `out`.
export function follow(weights, offsets, out) {
  const count = offsets.length / 2;
  for (let p = 0, w = 0; p < out.length; p += 2) {
    let x = 0;
    let y = 0;
    for (let j = 0; j < count; j++, w++) {
      x += weights[w] * offsets[2 * j];
      y += weights[w] * offsets[2 * j + 1];
    }
    out[p] = x;
    out[p + 1] = y;
  }
  return out;
}

// Whether det J stays above its margin in every corner of every cell.
export function soundGrid({ side, mapped }, margin = MARGIN) {
  let [least, reachX, reachY] = [Infinity, 0, 0];
  const stride = 2 * side;
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const i = row * stride + 2 * column;
      const right = column + 1 < side;
      const below = row + 1 < side;
      if (right) reachX += distance(mapped, i, i + 2);
      if (below) reachY += distance(mapped, i, i + stride);
      if (right && below) least = Math.min(least, leastCorner(mapped, i, stride));
    }
  }
  const lines = side * (side - 1);
  return least > margin * (reachX / lines) * (reachY / lines);
}

function distance(mapped, i, j) {
  const [x, y] = [mapped[j] - mapped[i], mapped[j + 1] - mapped[i + 1]];
  return Math.sqrt(x * x + y * y);
}

// Whether a warp keeps its margin in each of its parts.
export function isSound(warp) {
  return partsOf(warp).every(({ warp: part }) => test(part)(1));
}

// A function that tells whether a part of a warp, weakened to a factor, keeps its margin.
function test(part) {
  if (part.family === 'none') return () => true;
  if (part.family !== 'affine') {
    const map = mapper(part);
    return (factor) => soundGrid(map(factor));
  }
  return (factor) => {
    const [a, b, , d, e] = affineOf(part.theta.map((value) => value * factor));
    return a * e - b * d > MARGIN * Math.hypot(a, d) * Math.hypot(b, e);
  };
}

// The warp without folds on a picture of `size` [height, width]: itself where it has none.
export function guarded(warp, size = null) {
  if (warp.family === 'none') return warp;
  const theta = [...warp.theta];
  for (const { warp: part, start } of partsOf(warp)) {
    const sound = test(part);
    if (sound(1)) continue;
    let [low, high] = [0, 1];
    for (let step = 0; step < STEPS; step++) {
      const middle = (low + high) / 2;
      if (sound(middle)) low = middle;
      else high = middle;
    }
    for (let i = 0; i < part.theta.length; i++) theta[start + i] = part.theta[i] * low;
  }
  return size ? withoutFinestFolds({ ...warp, theta }, size) : { ...warp, theta };
}

// Weaken a warp a little more, until no pixel's cell folds.
function withoutFinestFolds(warp, [height, width]) {
  const points = new Float64Array(2 * height * width);
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      points[i++] = (2 * column + 1) / width - 1;
      points[i++] = (2 * row + 1) / height - 1;
    }
  }
  let [factor, step, found] = [1, 0.01, warp];
  const mapped = new Float64Array(points.length);
  for (;;) {
    const map = mapOf(found);
    for (let i = 0; i < points.length; i += 2) {
      [mapped[i], mapped[i + 1]] = map(points[i], points[i + 1]);
    }
    if (!foldsAnywhere(mapped, height, width)) return found;
    factor *= 1 - step;
    step = Math.min(2 * step, 1);
    found = { ...warp, theta: warp.theta.map((value) => value * factor) };
  }
}

function foldsAnywhere(mapped, height, width) {
  const stride = 2 * width;
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      if (!(leastCorner(mapped, row * stride + 2 * column, stride) > 0)) return true;
    }
  }
  return false;
}

// The least cross product of two slopes that meet at a corner of the cell that begins at i.
function leastCorner(mapped, i, stride) {
  const j = i + stride;
  const ax = mapped[i + 2] - mapped[i];
  const ay = mapped[i + 3] - mapped[i + 1];
  const bx = mapped[j] - mapped[i];
  const by = mapped[j + 1] - mapped[i + 1];
  const cx = mapped[j + 2] - mapped[j];
  const cy = mapped[j + 3] - mapped[j + 1];
  const dx = mapped[j + 2] - mapped[i + 2];
  const dy = mapped[j + 3] - mapped[i + 3];
  return Math.min(ax * by - ay * bx, ax * dy - ay * dx, cx * by - cy * bx, cx * dy - cy * dx);
}
