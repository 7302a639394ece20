// The content's grid, bent: lines at equal places of the content, over the picture.

import { CELLS, gridOf } from './renderer.js';
import { stage, toScreen } from './stage.js';

const LINES = 10; // per longer side
const STEP = 2; // vertices of the renderer's mesh per cell that is searched for lines
const canvas = document.getElementById('mesh');
const context = canvas.getContext('2d');

// Draw the lines at the vertices' places as the renderer has them; strength 0 clears.
export function drawMesh(strength) {
  const { clientWidth: width, clientHeight: height } = stage.element;
  const ratio = Math.min(2, devicePixelRatio);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!strength) return;
  const path = new Path2D();
  const long = Math.max(...stage.size);
  for (const axis of [0, 1]) trace(path, axis, Math.max(2, Math.round((LINES * stage.size[axis]) / long)));
  context.strokeStyle = `rgb(0 0 0 / ${26 * strength}%)`;
  context.lineWidth = 2.4;
  context.stroke(path);
  context.strokeStyle = `rgb(255 255 255 / ${78 * strength}%)`;
  context.lineWidth = 1;
  context.stroke(path);
}

// Add the lines on which a coordinate of the content is a multiple of 2 / count: where they cross
// the edges of each cell.
function trace(path, axis, count) {
  const { shown } = gridOf(CELLS);
  const side = CELLS + 1;
  const value = (node) => shown[2 * node + axis];
  const other = (node) => shown[2 * node + 1 - axis];
  for (let row = 0; row + STEP < side; row += STEP) {
    for (let column = 0; column + STEP < side; column += STEP) {
      const a = row * side + column;
      const ring = [a, a + STEP, a + STEP * (side + 1), a + STEP * side];
      const values = ring.map(value);
      const first = Math.ceil(((Math.min(...values) + 1) * count) / 2);
      const last = Math.floor(((Math.max(...values) + 1) * count) / 2);
      if (last < first || Math.abs(other(a)) > 1) continue;
      for (let n = Math.max(0, first); n <= Math.min(count, last); n++) {
        segment(path, ring, values, (2 * n) / count - 1, side);
      }
    }
  }
}

function segment(path, ring, values, level, side) {
  let begun = false;
  for (let i = 0; i < 4; i++) {
    const [from, to] = [values[i], values[(i + 1) % 4]];
    if (from < level === to < level) continue;
    const share = (level - from) / (to - from);
    const [a, b] = [ring[i], ring[(i + 1) % 4]];
    const column = (a % side) + share * ((b % side) - (a % side));
    const row = Math.floor(a / side) + share * (Math.floor(b / side) - Math.floor(a / side));
    const [x, y] = toScreen([(2 * column) / CELLS - 1, (2 * row) / CELLS - 1]);
    if (begun) path.lineTo(x, y);
    else path.moveTo(x, y);
    begun = !begun;
  }
}
