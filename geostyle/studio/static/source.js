// Where the paint came from: over a spot of a finished painting, the part of its texture.

import * as api from './api.js';
import { $ } from './dom.js';
import { app, on } from './store.js';
import { stage, toScreen } from './stage.js';

const lens = $('#lens');
const SHOWN = 0.22; // of the texture's long side in the lens
let map = null;
let textures = [];
let loaded = null;

async function load() {
  const shot = app.snapshots[app.shot];
  const wanted = shot?.status === 'done' && !shot.local && shot.state?.doc ? app.shot : null;
  if (wanted === loaded) return;
  loaded = wanted;
  map = null;
  if (!wanted) return;
  try {
    const [values, ...images] = await Promise.all([
      api.source(wanted), ...shot.state.doc.tex.map((name) => api.loadImage(api.pictureUrl(name))),
    ]);
    if (loaded !== wanted) return;
    map = { height: values[0], width: values[1], values: values.subarray(2) };
    textures = images;
  } catch {
    map = null; // painted by statistics: no single part of the texture
  }
}

function show(hover) {
  const over = hover && map && app.view === 'paint' && hover.event.pointerType !== 'touch'
    && Math.abs(hover.at[0]) <= 1 && Math.abs(hover.at[1]) <= 1
    && !hover.event.target.closest('.toolbar, #progress');
  lens.hidden = !over;
  if (!over) return;
  const { width, height, values } = map;
  const column = Math.min(width - 1, Math.floor(((hover.at[0] + 1) / 2) * width));
  const row = Math.min(height - 1, Math.floor(((hover.at[1] + 1) / 2) * height));
  const plane = width * height;
  const place = row * width + column;
  const image = textures[values[place]];
  if (!image) {
    lens.hidden = true;
    return;
  }
  const [u, v] = [values[plane + place], values[2 * plane + place]];
  const span = SHOWN * Math.max(image.width, image.height);
  const [x, y] = [((u + 1) / 2) * image.width, ((v + 1) / 2) * image.height];
  const context = $('canvas', lens).getContext('2d');
  const { width: size } = context.canvas;
  context.clearRect(0, 0, size, size);
  context.drawImage(image, x - span / 2, y - span / 2, span, span, 0, 0, size, size);
  context.strokeStyle = '#fff';
  context.lineWidth = 2;
  context.strokeRect(size / 2 - 11, size / 2 - 11, 22, 22);
  const [sx, sy] = toScreen(hover.at);
  const left = sx + 170 > stage.element.clientWidth;
  lens.style.transform = `translate(${left ? sx - 166 : sx + 22}px, ${Math.max(8, sy - 90)}px)`;
}

export const hasSource = () => Boolean(map);

export function start() {
  on('hover', show);
  on('shot', load);
  on('snapshots', load);
  on('show', () => { lens.hidden = true; });
}
