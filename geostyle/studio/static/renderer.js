// Draws a picture through a warp: a mesh whose vertices know which place of the content they show.

import { SPLINES, affineOf, mapOf, offsetsOf } from './families.js';
import { follow } from './guard.js';
import { basis } from './spline.js';
import { inverseOf } from './editing.js';

const VERTEX = `#version 300 es
in vec2 place, look, shown; out vec2 at, spot; uniform vec2 room;
void main() { at = look * room + .5; spot = shown; gl_Position = vec4(place.x, -place.y, 0, 1); }`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture; uniform vec4 grid; in vec2 at, spot; out vec4 color;
void main() {
  color = texture(picture, at);
  if (grid.z == 0. || any(greaterThan(abs(spot), vec2(1.01)))) return;
  vec2 lines = (spot + 1.) * .5 * grid.xy;
  vec2 far = abs(lines - round(lines)) / fwidth(lines); // in pixels
  vec2 share = clamp(vec2(1.2, .5) * grid.w + .5 - min(far.x, far.y), 0., 1.) * vec2(.26, .78) * grid.z;
  color.rgb = mix(mix(color.rgb, vec3(0), share.x), vec3(1), share.y);
}`;
const LINES = 10; // of the content's grid, per longer side
const MARGIN = 0.2; // beyond each edge of the content, where its colors run out softly
const LARGEST_PX = 2048; // of a texture's long side
// Cells per side of the mesh while something moves, and at rest; software renderers are slow with many.
export const CELLS = 48;
export const FINE_CELLS = 192;
const SKIN_CELLS = 48;
const SKIN_REACH = 1.25;

export class Renderer {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext('webgl2', { antialias: false, alpha: false, depth: false });
    if (!gl) throw new Error('this browser has no WebGL 2, which the studio needs to bend pictures');
    this.gl = gl;
    this.skin = null;
    const made = program(gl);
    gl.useProgram(made);
    gl.uniform2f(gl.getUniformLocation(made, 'room'), ...[0.5, 0.5].map((half) => half / (1 + 2 * MARGIN)));
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    this.grid = gl.getUniformLocation(made, 'grid');
    this.moving = [gl.createBuffer(), gl.createBuffer()];
    this.meshes = new Map();
  }

  setPicture(image) {
    const { gl } = this;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, extended(image));
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    this.skin = null;
  }

  // Draw a painting instead, which was made under the warp `made`: it bends along.
  setSkin(image, made) {
    this.setPicture(image);
    this.skin = new Skin(made);
  }

  // Draw the warp; `lines`, from 0 to 1, shows the content's grid, of `width` pixels.
  draw(warp, cells = CELLS, lines = 0, width = 1) {
    const { gl, canvas } = this;
    const shown = shownBy(warp, gridOf(cells));
    const { vertices, indices } = this.mesh(cells);
    gl.bindBuffer(gl.ARRAY_BUFFER, vertices);
    this.attribute(0);
    for (const [i, places] of [this.skin ? this.skin.look(shown) : shown, shown].entries()) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.moving[i]);
      gl.bufferData(gl.ARRAY_BUFFER, places, gl.DYNAMIC_DRAW);
      this.attribute(1 + i);
    }
    const sides = [canvas.width, canvas.height];
    const counts = sides.map((side) => Math.max(2, Math.round((LINES * side) / Math.max(...sides))));
    gl.uniform4f(this.grid, ...counts, lines, Math.max(1, width));
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, indices);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.drawElements(gl.TRIANGLES, 6 * cells * cells, gl.UNSIGNED_SHORT, 0);
  }

  mesh(cells) {
    const { gl, meshes } = this;
    if (!meshes.has(cells)) {
      const [vertices, indices] = [gl.createBuffer(), gl.createBuffer()];
      gl.bindBuffer(gl.ARRAY_BUFFER, vertices);
      gl.bufferData(gl.ARRAY_BUFFER, Float32Array.from(gridOf(cells).points), gl.STATIC_DRAW);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, indices);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles(cells), gl.STATIC_DRAW);
      meshes.set(cells, { vertices, indices });
    }
    return meshes.get(cells);
  }

  attribute(place) {
    this.gl.enableVertexAttribArray(place);
    this.gl.vertexAttribPointer(place, 2, this.gl.FLOAT, false, 0, 0);
  }
}

// The picture on a larger canvas, continued softly beyond its edges.
function extended(image) {
  const factor = Math.min(1, LARGEST_PX / (1 + 2 * MARGIN) / Math.max(image.width, image.height));
  const [w, h] = [Math.round(image.width * factor), Math.round(image.height * factor)];
  const [x, y] = [Math.round(w * MARGIN), Math.round(h * MARGIN)];
  const canvas = document.createElement('canvas');
  canvas.width = w + 2 * x;
  canvas.height = h + 2 * y;
  const context = canvas.getContext('2d');
  context.filter = `blur(${Math.round(Math.max(w, h) / 40)}px)`;
  for (const [across, sx] of [[-1, x], [1, x], [-1, x + 2 * w]]) {
    for (const [down, sy] of [[-1, y], [1, y], [-1, y + 2 * h]]) {
      context.setTransform(across, 0, 0, down, sx, sy);
      context.drawImage(image, 0, 0, w, h);
    }
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.filter = 'none';
  context.drawImage(image, x, y, w, h);
  return canvas;
}

function triangles(cells) {
  const side = cells + 1;
  const found = new Uint16Array(6 * cells * cells);
  for (let row = 0, i = 0; row < cells; row++) {
    for (let column = 0; column < cells; column++) {
      const a = row * side + column;
      found.set([a, a + 1, a + side, a + 1, a + side + 1, a + side], i);
      i += 6;
    }
  }
  return found;
}

const grids = new Map();

// The vertices of a mesh of cells×cells, with what splines need there.
export function gridOf(cells) {
  if (grids.has(cells)) return grids.get(cells);
  const side = cells + 1;
  const points = new Float64Array(2 * side * side);
  for (let row = 0, i = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      points[i++] = -1 + (2 * column) / cells;
      points[i++] = -1 + (2 * row) / cells;
    }
  }
  const grid = {
    cells, points, bases: new Map(), shown: new Float32Array(points.length), shifts: new Float64Array(points.length),
  };
  grids.set(cells, grid);
  return grid;
}

// Which place of the content each vertex shows.
export function shownBy(warp, grid) {
  const { points, shown, shifts } = grid;
  const flip = warp.mirrored ? -1 : 1;
  if (SPLINES.includes(warp.family)) {
    const k = warp.lattice;
    if (!grid.bases.has(k)) grid.bases.set(k, basis(points, k));
    follow(grid.bases.get(k), offsetsOf(warp), shifts);
    const affine = warp.family === 'tps' ? [0, 0, 0, 0, 0, 0] : warp.theta;
    const [a, b, c, d, e, f] = affineOf(affine);
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = [points[i] + shifts[i], points[i + 1] + shifts[i + 1]];
      shown[i] = (a * x + b * y + c) * flip;
      shown[i + 1] = d * x + e * y + f;
    }
    return shown;
  }
  const map = mapOf(warp);
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = map(points[i], points[i + 1]);
    shown[i] = x * flip;
    shown[i + 1] = y;
  }
  return shown;
}

// Content places → places of a painting that was made under a warp.
class Skin {
  constructor(made) {
    const side = SKIN_CELLS + 1;
    this.flip = made.mirrored ? -1 : 1;
    this.table = new Float64Array(2 * side * side);
    const inverse = inverseOf(made);
    for (let row = 0, i = 0; row < side; row++) {
      let guess;
      for (let column = 0; column < side; column++, i += 2) {
        const u = SKIN_REACH * (-1 + (2 * column) / SKIN_CELLS);
        const v = SKIN_REACH * (-1 + (2 * row) / SKIN_CELLS);
        guess = inverse(u, v, guess);
        this.table[i] = guess[0];
        this.table[i + 1] = guess[1];
      }
    }
    this.out = null;
  }

  look(shown) {
    this.out = this.out?.length === shown.length ? this.out : new Float32Array(shown.length);
    const side = SKIN_CELLS + 1;
    for (let i = 0; i < shown.length; i += 2) {
      const u = ((shown[i] * this.flip) / SKIN_REACH + 1) * (SKIN_CELLS / 2);
      const v = (shown[i + 1] / SKIN_REACH + 1) * (SKIN_CELLS / 2);
      const column = Math.max(0, Math.min(SKIN_CELLS - 1, Math.floor(u)));
      const row = Math.max(0, Math.min(SKIN_CELLS - 1, Math.floor(v)));
      const [p, q] = [u - column, v - row];
      const j = 2 * (row * side + column);
      for (let axis = 0; axis < 2; axis++) {
        const top = this.table[j + axis] * (1 - p) + this.table[j + 2 + axis] * p;
        const low = this.table[j + 2 * side + axis] * (1 - p) + this.table[j + 2 * side + 2 + axis] * p;
        this.out[i + axis] = top * (1 - q) + low * q;
      }
    }
    return this.out;
  }
}

function program(gl) {
  const made = gl.createProgram();
  ['place', 'look', 'shown'].forEach((name, i) => gl.bindAttribLocation(made, i, name));
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  return made;
}
