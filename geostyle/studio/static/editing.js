// Edits of a warp: what is dragged from one place of the output to another stays what it shows.

import { basis, latticePoints, solve } from './spline.js';
import { SPLINES, affineInverse, affineOf, applyAffine, mapOf, offsetsOf } from './families.js';
import { isSound } from './guard.js';

const EDITABLE = 'affine+tps';
const HALVINGS = 6;

export function identity(size, lattice = 6) {
  return {
    family: EDITABLE, lattice, theta: new Array(6 + 2 * lattice * lattice).fill(0),
    output_size: size, content_size: size, mirrored: false, confidence: null, message: '',
  };
}

// The same warp as an affine map after a spline over k×k control points, which can be edited.
export function editable(warp, lattice = warp.lattice) {
  if (warp.family === EDITABLE && warp.lattice === lattice) return warp;
  const points = latticePoints(lattice);
  const map = mapOf(warp);
  const affine = SPLINES.includes(warp.family)
    ? warp.family === 'tps' ? affineOf([0, 0, 0, 0, 0, 0]) : affineOf(warp.theta)
    : fitAffine(points, map);
  const back = affineInverse(affine);
  const offsets = [];
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = applyAffine(back, ...map(points[i], points[i + 1]));
    offsets.push(x - points[i], y - points[i + 1]);
  }
  const linear = affine.map((value, i) => value - [1, 0, 0, 0, 1, 0][i]);
  return { ...warp, family: EDITABLE, lattice, theta: [...linear, ...offsets] };
}

function fitAffine(points, map) {
  const normal = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  const right = [[0, 0, 0], [0, 0, 0]];
  for (let i = 0; i < points.length; i += 2) {
    const row = [points[i], points[i + 1], 1];
    const to = map(points[i], points[i + 1]);
    for (let a = 0; a < 3; a++) {
      for (let b = 0; b < 3; b++) normal[a][b] += row[a] * row[b];
      right[0][a] += row[a] * to[0];
      right[1][a] += row[a] * to[1];
    }
  }
  return [...solve(normal, right[0]), ...solve(normal, right[1])];
}

// A drag that begins at a warp; `to` moves what was at each `from` and what lies within `reach`.
export class Drag {
  // from: [[x, y], …] in the output; reach: in half sides of the longer side.
  constructor(warp, from, reach) {
    this.start = editable(warp);
    this.from = from;
    this.reach = reach;
    this.map = mapOf(this.start);
    this.affine = affineOf(this.start.theta);
    this.back = affineInverse(this.affine);
    const [height, width] = this.start.output_size;
    this.aspect = [width / Math.max(width, height), height / Math.max(width, height)];
    this.wanted = from.map(([x, y]) => applyAffine(this.back, ...this.map(x, y)));
    this.held = false;
  }

  // The warp after a move of all points by (dx, dy), as far as nothing folds.
  moved(dx, dy) {
    let warp = this.moveTo(dx, dy, 1);
    this.held = !isSound(warp);
    if (!this.held) return warp;
    let [low, high] = [0, 1];
    warp = this.start;
    for (let i = 0; i < HALVINGS; i++) {
      const middle = (low + high) / 2;
      const tried = this.moveTo(dx, dy, middle);
      if (isSound(tried)) [low, warp] = [middle, tried];
      else high = middle;
    }
    return warp;
  }

  moveTo(dx, dy, share) {
    const [mx, my] = [dx * share, dy * share];
    const { lattice } = this.start;
    const points = latticePoints(lattice);
    const to = this.from.map(([x, y]) => [x + mx, y + my]);
    const offsets = new Float64Array(points.length);
    for (let i = 0; i < points.length; i += 2) {
      const weight = this.weight(points[i], points[i + 1], to);
      const shown = this.map(points[i] - weight * mx, points[i + 1] - weight * my);
      const [x, y] = applyAffine(this.back, ...shown);
      offsets[i] = x - points[i];
      offsets[i + 1] = y - points[i + 1];
    }
    this.correct(offsets, to, lattice);
    return { ...this.start, theta: [...this.start.theta.slice(0, 6), ...offsets], edited: true };
  }

  // How far a point follows the move: 1 at the dragged ones, 0 beyond their reach.
  weight(x, y, to) {
    let rest = 1;
    for (const [px, py] of to) {
      const distance = Math.hypot((x - px) * this.aspect[0], (y - py) * this.aspect[1]);
      const share = Math.min(1, distance / this.reach);
      rest *= 1 - (1 - share * share) ** 2;
    }
    return 1 - rest;
  }

  // The smallest change of the offsets with which the dragged points are exactly where they are.
  correct(offsets, to, k) {
    const few = to.length <= 12 ? to : [];
    if (!few.length) return;
    const count = k * k;
    const rows = basis(Float64Array.from(few.flat()), k);
    const row = (p) => rows.subarray(p * count, (p + 1) * count);
    const gram = few.map((_, a) => few.map((_, b) => dot(row(a), row(b)) + (a === b ? 1e-9 : 0)));
    for (const axis of [0, 1]) {
      const rest = few.map((point, p) => {
        let value = point[axis];
        for (let j = 0; j < count; j++) value += row(p)[j] * offsets[2 * j + axis];
        return this.wanted[p][axis] - value;
      });
      const factors = solve(gram, rest);
      for (let j = 0; j < count; j++) {
        for (let p = 0; p < few.length; p++) offsets[2 * j + axis] += factors[p] * row(p)[j];
      }
    }
  }
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

// The output point at which a warp shows a content point, by Newton's method from `guess`.
export function inverseOf(warp) {
  const map = mapOf(warp);
  const step = 1e-4;
  return (u, v, guess = [u, v]) => {
    let [x, y] = guess;
    for (let i = 0; i < 12; i++) {
      const [a, b] = map(x, y);
      const [rx, ry] = [u - a, v - b];
      if (Math.abs(rx) + Math.abs(ry) < 1e-6) break;
      const [ax, ay] = map(x + step, y);
      const [bx, by] = map(x, y + step);
      const [p, q, r, s] = [ax - a, bx - a, ay - b, by - b].map((value) => value / step);
      const determinant = p * s - q * r || 1e-9;
      let [dx, dy] = [(s * rx - q * ry) / determinant, (p * ry - r * rx) / determinant];
      const length = Math.hypot(dx, dy);
      if (length > 0.3) [dx, dy] = [(dx / length) * 0.3, (dy / length) * 0.3];
      x += dx;
      y += dy;
    }
    return [x, y];
  };
}
