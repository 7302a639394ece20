// The picture on the screen: where it lies, zoom and pan, and pointers handed to the tool in use.

import { $ } from './dom.js';
import { app, emit } from './store.js';

const MARGIN = { side: 26, top: 22, bottom: 78 };
const PHONE = { side: 0, top: 10, bottom: 64 };
const MOST_ZOOM = 16;

export const stage = {
  element: $('#stage'), world: $('#world'),
  size: [512, 341], // of the picture, in pixels of the canvases
  x: 0, y: 0, scale: 1, fitted: true, side: false, tool: null,
};

const pointers = new Map();
let gesture = null;

export function setSize(width, height) {
  if (stage.size[0] === width && stage.size[1] === height) return;
  stage.size = [width, height];
  for (const canvas of stage.world.querySelectorAll('canvas')) {
    canvas.width = width;
    canvas.height = height;
  }
  fit();
}

export function fit() {
  const { clientWidth, clientHeight } = stage.element;
  const margin = clientWidth < 620 ? PHONE : MARGIN;
  const [width, height] = stage.size;
  const across = stage.side ? 2 * width + 16 : width;
  const room = [clientWidth - 2 * margin.side, clientHeight - margin.top - margin.bottom];
  stage.scale = Math.min(room[0] / across, room[1] / height);
  stage.x = (clientWidth - across * stage.scale) / 2 + (stage.side ? (width + 16) * stage.scale : 0);
  stage.y = margin.top + (room[1] - height * stage.scale) / 2;
  stage.fitted = true;
  place();
}

function place() {
  const { world, size, x, y, scale } = stage;
  stage.element.classList.toggle('zoomed', !stage.fitted);
  world.style.width = `${size[0]}px`;
  world.style.height = `${size[1]}px`;
  world.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  $('#before').style.transform = stage.side ? `translateX(${-(size[0] + 16)}px)` : '';
  emit('view');
}

export function zoom(factor, at = null) {
  const { clientWidth, clientHeight } = stage.element;
  const [cx, cy] = at ?? [clientWidth / 2, clientHeight / 2];
  const scale = Math.max(0.1, Math.min(MOST_ZOOM, stage.scale * factor));
  stage.x = cx - ((cx - stage.x) * scale) / stage.scale;
  stage.y = cy - ((cy - stage.y) * scale) / stage.scale;
  stage.scale = scale;
  stage.fitted = false;
  place();
}

export function pan(dx, dy) {
  stage.x += dx;
  stage.y += dy;
  stage.fitted = false;
  place();
}

// Normalized places of the picture ↔ pixels of the stage.
export const toScreen = ([u, v]) => [
  stage.x + ((u + 1) / 2) * stage.size[0] * stage.scale,
  stage.y + ((v + 1) / 2) * stage.size[1] * stage.scale,
];

export function toPicture(event) {
  const box = stage.element.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  return [
    (2 * (x - stage.x)) / (stage.size[0] * stage.scale) - 1,
    (2 * (y - stage.y)) / (stage.size[1] * stage.scale) - 1,
  ];
}

const local = (event) => {
  const box = stage.element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

const own = (target) => !target.closest('.toolbar, #divider, #progress');

function down(event) {
  if (!own(event.target)) return;
  pointers.set(event.pointerId, local(event));
  if (pointers.size === 2) {
    stage.tool?.cancel?.();
    gesture = { kind: 'pinch' };
    return;
  }
  if (pointers.size > 2) return;
  const panning = app.tool === 'hand' || event.button === 1 || stage.space || !stage.tool;
  stage.element.setPointerCapture(event.pointerId);
  gesture = { kind: panning ? 'pan' : 'tool', id: event.pointerId };
  if (!panning) stage.tool.down?.(event, toPicture(event));
}

function move(event) {
  const before = pointers.get(event.pointerId);
  if (!before) {
    if (own(event.target)) stage.tool?.hover?.(event, toPicture(event));
    emit('hover', { event, at: toPicture(event) });
    return;
  }
  const now = local(event);
  if (gesture?.kind === 'pinch') {
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      zoom(spread(now) / Math.max(1, spread(before)), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    }
  } else if (gesture?.kind === 'pan') pan(now[0] - before[0], now[1] - before[1]);
  else if (gesture?.id === event.pointerId) stage.tool?.move?.(event, toPicture(event));
  pointers.set(event.pointerId, now);
}

function up(event) {
  if (!pointers.delete(event.pointerId)) return;
  if (gesture?.kind === 'tool' && gesture.id === event.pointerId) stage.tool?.up?.(event, toPicture(event));
  if (!pointers.size) gesture = null;
}

export function start() {
  const { element } = stage;
  element.addEventListener('pointerdown', down);
  element.addEventListener('pointermove', move);
  element.addEventListener('pointerup', up);
  element.addEventListener('pointercancel', up);
  element.addEventListener('pointerleave', () => emit('hover', null));
  element.addEventListener('wheel', (event) => {
    event.preventDefault();
    if (event.altKey) return void emit('reach', event.deltaY < 0 ? 1.1 : 1 / 1.1);
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0018)), local(event));
  }, { passive: false });
  element.addEventListener('dblclick', (event) => own(event.target) && fit());
  new ResizeObserver(() => (stage.fitted ? fit() : place())).observe(element);
}
