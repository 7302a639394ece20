// Masks by brush: the subject of the content, that of the shape, and the region of each texture.

import * as api from './api.js';
import { $ } from './dom.js';
import { app, change, emit, on } from './store.js';
import { fit, setSize, stage } from './stage.js';
import { complain } from './words.js';

const LONGEST_PX = 768;
export const brush = { target: 'content', size: 0.12, softness: 0.5, erase: false };
const drawn = document.createElement('canvas');
const base = { image: null, key: '' };
let stroke = null;
let kept = null; // the mask that `drawn` shows
let saving = Promise.resolve();

const pictureName = () => (brush.target === 'geo' ? app.doc.geo : app.doc.content);

function maskName(doc = app.doc) {
  if (brush.target === 'content' || brush.target === 'geo') return doc.masks[brush.target];
  return doc.masks.tex[Number(brush.target.slice(3))] ?? null;
}

export function targets() {
  const found = [['content', 'Subject']];
  if (app.doc.geo) found.push(['geo', 'Shape’s subject']);
  app.doc.tex.forEach((_, i) => found.push([`tex${i}`, app.doc.tex.length > 1 ? `Texture ${i + 1}` : 'Texture']));
  return found;
}

export async function openMask() {
  const name = pictureName();
  if (!name) return;
  try {
    const image = await api.loadImage(api.pictureUrl(name));
    const factor = Math.min(1, LONGEST_PX / Math.max(image.width, image.height));
    const size = [Math.round(image.width * factor), Math.round(image.height * factor)];
    base.image = image;
    setSize(...size);
    fit();
    await readMask(size);
    show();
  } catch (error) {
    complain(error);
  }
}

async function readMask([width, height]) {
  drawn.width = width;
  drawn.height = height;
  const context = drawn.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  kept = maskName();
  if (kept) context.drawImage(await api.loadImage(api.pictureUrl(kept)), 0, 0, width, height);
}

function show() {
  const canvas = $('#mask');
  const context = canvas.getContext('2d');
  const { width, height } = canvas;
  context.globalCompositeOperation = 'source-over';
  context.drawImage(base.image, 0, 0, width, height);
  context.fillStyle = 'rgb(12 10 9 / 58%)';
  context.fillRect(0, 0, width, height);
  // What is white in the mask is shown in full light.
  const lit = document.createElement('canvas');
  lit.width = width;
  lit.height = height;
  const light = lit.getContext('2d');
  light.drawImage(drawn, 0, 0, width, height);
  const pixels = light.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i];
  light.putImageData(pixels, 0, 0);
  light.globalCompositeOperation = 'source-in';
  light.drawImage(base.image, 0, 0, width, height);
  context.drawImage(lit, 0, 0);
}

function stamp(context, [u, v], pressure) {
  const { width, height } = drawn;
  const radius = Math.max(1, (brush.size * Math.max(width, height) * pressure) / 2);
  const [x, y] = [((u + 1) / 2) * width, ((v + 1) / 2) * height];
  const tone = brush.erase !== Boolean(stroke?.flip) ? '0 0 0' : '255 255 255';
  const gradient = context.createRadialGradient(x, y, radius * (1 - brush.softness) * 0.98, x, y, radius);
  gradient.addColorStop(0, `rgb(${tone})`);
  gradient.addColorStop(1, `rgb(${tone} / 0%)`);
  context.fillStyle = gradient;
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}

function draw(event, to) {
  const context = drawn.getContext('2d');
  const pressure = event.pointerType === 'pen' ? Math.max(0.15, event.pressure * 1.4) : 1;
  const from = stroke.at;
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const steps = Math.max(1, Math.ceil(length / (brush.size * 0.2)));
  for (let i = 1; i <= steps; i++) {
    const share = i / steps;
    stamp(context, [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share], pressure);
  }
  stroke.at = to;
}

let frame = 0;

function later() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(show);
}

function ring(event) {
  const element = $('#ring');
  element.classList.add('on');
  const box = stage.element.getBoundingClientRect();
  const radius = (brush.size * Math.max(...stage.size) * stage.scale) / 2;
  element.style.width = element.style.height = `${2 * radius}px`;
  element.style.transform = `translate(${event.clientX - box.left - radius}px, ${event.clientY - box.top - radius}px)`;
}

export const tool = {
  down(event, at) {
    if (!base.image) return;
    stroke = { at, flip: event.altKey || event.buttons === 32 };
    stamp(drawn.getContext('2d'), at, event.pointerType === 'pen' ? Math.max(0.15, event.pressure * 1.4) : 1);
    ring(event);
    later();
  },
  move(event, at) {
    if (!stroke) return;
    draw(event, at);
    ring(event);
    later();
  },
  up() {
    if (!stroke) return;
    stroke = null;
    keep();
  },
  cancel() {
    stroke = null;
  },
  hover: ring,
};

function setMask(name) {
  const masks = { ...app.doc.masks };
  if (brush.target === 'content' || brush.target === 'geo') masks[brush.target] = name;
  else {
    const tex = app.doc.tex.map((_, i) => masks.tex[i] ?? null);
    tex[Number(brush.target.slice(3))] = name;
    masks.tex = tex;
  }
  change({ masks });
  if (brush.target === 'content' || brush.target === 'geo') emit('match');
}

// Send the mask; strokes that follow quickly wait for each other.
function keep() {
  saving = saving.then(async () => {
    const blob = await new Promise((resolve) => { drawn.toBlob(resolve, 'image/png'); });
    const picture = await api.upload(new File([blob], 'mask.png'), 'mask');
    kept = picture.covered > 0.002 ? picture.name : null;
    setMask(kept);
  }).catch(complain);
}

export function clearMask() {
  kept = null;
  setMask(null);
  const context = drawn.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, drawn.width, drawn.height);
  show();
}

export function invertMask() {
  const context = drawn.getContext('2d');
  context.globalCompositeOperation = 'difference';
  context.fillStyle = '#fff';
  context.fillRect(0, 0, drawn.width, drawn.height);
  context.globalCompositeOperation = 'source-over';
  show();
  keep();
}

export function start() {
  on('doc', (keys) => {
    if (app.tool === 'mask' && keys.includes('masks') && maskName() !== kept) openMask();
  });
  on('reach', (factor) => {
    if (app.tool !== 'mask') return;
    brush.size = Math.max(0.01, Math.min(0.6, brush.size * factor));
  });
}
