// Thin-plate splines over a square lattice, as geostyle/warps/thin_plate.py has them.
// Points are normalized: [-1, 1], x right, y down. Arrays of points are flat: x0, y0, x1, y1, …

const TINY = 1e-300;
const solvers = new Map();

export function latticePoints(k) {
  const points = new Float64Array(2 * k * k);
  for (let row = 0, i = 0; row < k; row++) {
    for (let column = 0; column < k; column++) {
      points[i++] = -1 + (2 * column) / (k - 1);
      points[i++] = -1 + (2 * row) / (k - 1);
    }
  }
  return points;
}

// The kernels r² log r² at (x, y), one per control point, then 1, x, y; written into `out`.
export function features(x, y, k, out) {
  const step = 2 / (k - 1);
  let i = 0;
  for (let row = 0; row < k; row++) {
    const down = (y + 1 - row * step) ** 2 + TINY;
    for (let column = 0; column < k; column++) {
      const squared = (x + 1 - column * step) ** 2 + down;
      out[i++] = squared * Math.log(squared);
    }
  }
  out[i] = 1;
  out[i + 1] = x;
  out[i + 2] = y;
  return out;
}

// (K + 3) × K, row by row: offsets at the lattice → weights of the features.
export function solver(k) {
  if (solvers.has(k)) return solvers.get(k);
  const count = k * k;
  const n = count + 3;
  const points = latticePoints(k);
  const system = Array.from({ length: n }, () => new Float64Array(n));
  const row = new Float64Array(n);
  for (let i = 0; i < count; i++) {
    features(points[2 * i], points[2 * i + 1], k, row);
    system[i].set(row);
    for (let j = 0; j < 3; j++) system[count + j][i] = row[count + j];
  }
  const inverse = invert(system);
  const found = new Float64Array(n * count);
  for (let i = 0; i < n; i++) found.set(inverse[i].subarray(0, count), i * count);
  solvers.set(k, found);
  return found;
}

// N × K, row by row: weights with which each point follows each control point's offset.
export function basis(points, k) {
  const count = k * k;
  const solved = solver(k);
  const found = new Float64Array((points.length / 2) * count);
  const row = new Float64Array(count + 3);
  for (let p = 0; p < points.length / 2; p++) {
    features(points[2 * p], points[2 * p + 1], k, row);
    const start = p * count;
    for (let f = 0; f < count + 3; f++) {
      const value = row[f];
      const from = f * count;
      for (let j = 0; j < count; j++) found[start + j] += value * solved[from + j];
    }
  }
  return found;
}

// The weights (K + 3) × 2 of the features for offsets at the lattice.
export function weightsOf(offsets, k) {
  const count = k * k;
  const solved = solver(k);
  const found = new Float64Array(2 * (count + 3));
  for (let f = 0; f < count + 3; f++) {
    let x = 0;
    let y = 0;
    for (let j = 0; j < count; j++) {
      x += solved[f * count + j] * offsets[2 * j];
      y += solved[f * count + j] * offsets[2 * j + 1];
    }
    found[2 * f] = x;
    found[2 * f + 1] = y;
  }
  return found;
}

// Inverse of a square matrix (an array of rows) by Gauss-Jordan elimination with pivoting.
export function invert(matrix) {
  const n = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const b = a.map((_, i) => {
    const row = new Float64Array(n);
    row[i] = 1;
    return row;
  });
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++) {
      if (Math.abs(a[i][column]) > Math.abs(a[pivot][column])) pivot = i;
    }
    [a[column], a[pivot]] = [a[pivot], a[column]];
    [b[column], b[pivot]] = [b[pivot], b[column]];
    const divisor = a[column][column];
    for (let j = 0; j < n; j++) {
      a[column][j] /= divisor;
      b[column][j] /= divisor;
    }
    for (let i = 0; i < n; i++) {
      const factor = a[i][column];
      if (i === column || factor === 0) continue;
      for (let j = column; j < n; j++) a[i][j] -= factor * a[column][j];
      for (let j = 0; j < n; j++) b[i][j] -= factor * b[column][j];
    }
  }
  return b;
}

// x of A·x = b for a small system.
export function solve(matrix, right) {
  const inverse = invert(matrix);
  return inverse.map((row) => row.reduce((sum, value, j) => sum + value * right[j], 0));
}
