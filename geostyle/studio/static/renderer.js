// Draws a picture through a warp: a mesh whose vertices know which place of the content they show.

import { SPLINES, affineOf, mapOf, offsetsOf } from './families.js';
import { follow } from './guard.js';
import { basis } from './spline.js';
import { inverseOf } from './editing.js';

const VERTEX = `#version 300 es
in vec2 place; in vec2 shown; in vec2 skin;
out vec2 at; out vec2 look;
void main() { at = shown * .5 + .5; look = skin * .5 + .5; gl_Position = vec4(place.x, -place.y, 0, 1); }`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture; uniform vec2 size; uniform float mesh; uniform float cells; uniform bool skinned;
in vec2 at; in vec2 look; out vec4 color;
void main() {
  vec2 p = skinned ? look : at;
  float beyond = length(max(abs(p - .5) - .5, 0.) * size);
  vec3 c = texture(picture, clamp(p, 0., 1.), log2(1. + beyond * .35)).rgb;
  vec2 g = at * cells;
  vec2 line = abs(fract(g - .5) - .5) / max(fwidth(g), 1e-5);
  float away = min(line.x, line.y);
  vec2 edge = step(abs(at - .5), vec2(.5005));
  float inside = edge.x * edge.y * mesh;
  c = mix(c, vec3(0), inside * .22 * (1. - smoothstep(.8, 2.4, away)));
  c = mix(c, vec3(1), inside * .62 * (1. - smoothstep(.3, 1.1, away)));
  color = vec4(c, 1);
}`;
const SKIN_CELLS = 48;
const SKIN_REACH = 1.25;

export class Renderer {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext('webgl2', { antialias: false, preserveDrawingBuffer: true, alpha: false });
    if (!gl) throw new Error('this browser has no WebGL 2, which the studio needs to bend pictures');
    this.gl = gl;
    this.program = program(gl);
    this.buffers = {};
    this.cells = 0;
    this.texture = gl.createTexture();
    this.size = [1, 1];
    this.skin = null;
    gl.useProgram(this.program);
  }

  setPicture(image) {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, image);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    this.size = [image.width, image.height];
    this.skin = null;
  }

  // Draw a painting instead, which was made under the warp `made`: it bends along.
  setSkin(image, made) {
    this.setPicture(image);
    this.skin = new Skin(made);
  }

  draw(warp, { mesh = 0, lines = 10 } = {}) {
    const { gl } = this;
    const grid = this.grid(warp);
    const shown = shownBy(warp, grid);
    this.upload('shown', shown);
    this.upload('skin', this.skin ? this.skin.look(shown) : shown);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    const [width, height] = this.size;
    const long = Math.max(width, height);
    gl.uniform2f(this.uniform('size'), width, height);
    gl.uniform1f(this.uniform('mesh'), mesh);
    gl.uniform1f(this.uniform('cells'), Math.round(lines * Math.min(1, (2 * width) / long)));
    gl.uniform1i(this.uniform('skinned'), this.skin ? 1 : 0);
    gl.drawElements(gl.TRIANGLES, grid.indices, gl.UNSIGNED_INT, 0);
  }

  grid(warp) {
    const cells = warp.lattice > 7 ? 96 : 128;
    if (this.cells !== cells) {
      this.cells = cells;
      const grid = gridOf(cells);
      this.upload('place', Float32Array.from(grid.points));
      const { gl } = this;
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles(cells), gl.STATIC_DRAW);
    }
    return gridOf(cells);
  }

  upload(name, values) {
    const { gl } = this;
    this.buffers[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    const place = gl.getAttribLocation(this.program, name);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
  }

  uniform(name) {
    this.places ??= {};
    this.places[name] ??= this.gl.getUniformLocation(this.program, name);
    return this.places[name];
  }
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
  const grid = { cells, points, indices: 6 * cells * cells, bases: new Map(), shown: new Float32Array(points.length), shifts: new Float64Array(points.length) };
  grids.set(cells, grid);
  return grid;
}

// Which place of the content each vertex of the mesh shows.
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

function triangles(cells) {
  const side = cells + 1;
  const found = new Uint32Array(6 * cells * cells);
  for (let row = 0, i = 0; row < cells; row++) {
    for (let column = 0; column < cells; column++) {
      const a = row * side + column;
      found.set([a, a + 1, a + side, a + 1, a + side + 1, a + side], i);
      i += 6;
    }
  }
  return found;
}

function program(gl) {
  const made = gl.createProgram();
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
