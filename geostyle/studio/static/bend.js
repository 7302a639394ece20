// Bending: the mesh's points, dragging them or the picture itself, and drawing what comes of it.

import { $, el } from './dom.js';
import { Drag, editable, identity, inverseOf } from './editing.js';
import { guarded, isSound, prepareGuard } from './guard.js';
import { scaled } from './families.js';
import { loadImage, pictureUrl, shotUrl } from './api.js';
import { latticePoints } from './spline.js';
import { CELLS, FINE_CELLS, Renderer } from './renderer.js';
import { app, change, commit, emit, live, on, save } from './store.js';
import { setSize, stage, toScreen } from './stage.js';
import { complain, status } from './words.js';

const LEAST_PX = 1024; // of the canvas's long side; more where the screen shows more
const MOST_PX = 2048;
const HANDLE_REACH = 0.34; // of a handle's drag, in half sides
const NUDGE = 0.01;
const SETTLE_MS = 180; // after the last change, until it is drawn with the fine mesh
const SLOW_MS = 36; // between two frames of a drag
const LESS = [[7, 0.36], [3, 0.5], [-1, 1]]; // more slow frames than this: share of the pixels per side
export const LATTICES = { coarse: 6, fine: 10 };

let renderer = null;
let shown = null; // the warp on the screen: at its strength, without folds
let key = '';
let drag = null;
let pending = null;
const chosen = new Set();
let handles = [];

export const shownWarp = () => shown;
export const render = () => renderer;

const contentSize = () => {
  const picture = app.pictures[app.doc.content];
  return picture ? [picture.height, picture.width] : null;
};

// The document's warp; the identity where there is none.
export const currentWarp = () => app.doc.warp ?? (contentSize() ? identity(contentSize()) : null);

// The warp at its strength, without folds.
export function effective(doc = app.doc, size = null) {
  const warp = doc.warp ?? currentWarp();
  return warp && guarded(scaled(warp, doc.strength), size);
}

function canvasPx() {
  const { clientWidth, clientHeight } = stage.element;
  const wanted = Math.max(clientWidth, clientHeight) * devicePixelRatio;
  return wanted > 1600 ? MOST_PX : LEAST_PX;
}

async function showPicture() {
  const { content } = app.doc;
  const picture = app.pictures[content];
  if (!picture) return;
  const shot = app.skin && app.snapshots[app.shot];
  const skin = shot?.state?.content === content && shot.state.shown && ['done', 'stopped'].includes(shot.status) ? app.shot : null;
  const wanted = `${content}/${skin}`;
  if (wanted === key) return;
  key = wanted;
  try {
    const url = skin ? shot.url ?? shotUrl(skin, 'result.png') : pictureUrl(content);
    const image = await loadImage(url);
    if (wanted !== key) return;
    const factor = canvasPx() / Math.max(picture.width, picture.height);
    setSize(Math.round(picture.width * factor), Math.round(picture.height * factor));
    if (skin) renderer.setSkin(image, shot.state.shown);
    else renderer.setPicture(image);
    app.skinned = Boolean(skin);
    draw();
    emit('picture', image);
  } catch (error) {
    key = '';
    if (skin) {
      app.skin = false;
      showPicture();
    } else complain(error);
  }
}

export function refreshPicture() {
  key = '';
  showPicture();
}

let frame = 0;
let lastDrawn = 0;
let settling = 0;
let slow = 0;
let share = 1;

export function draw() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => drawNow());
}

// The grid of the content: stronger while it is dragged; a pixel wide on the screen.
function drawShown(cells, mesh = true) {
  const lines = mesh && app.view === 'bend' && app.tool !== 'mask' && app.mesh ? (drag ? 0.9 : 0.45) : 0;
  renderer.draw(shown, cells, lines, renderer.canvas.width / (stage.size[0] * stage.scale));
}

export function drawNow(mesh = true) {
  if (!renderer || !contentSize()) return;
  if (pending && drag) {
    const warp = drag.moved(pending[0], pending[1]);
    pending = null;
    live({ warp: { ...warp, message: '', confidence: null }, edited: true, strength: 1 });
    status(drag.held ? 'It would fold here; it stays just short of that.' : '');
  }
  shown = drag ? app.doc.warp ?? currentWarp() : effective();
  keepPace();
  drawShown(CELLS, mesh);
  clearTimeout(settling);
  if (!drag) settling = setTimeout(settle, SETTLE_MS);
  placeHandles();
  emit('drawn', shown);
}

// At rest: no fold in a single pixel, and the fine mesh.
function settle() {
  const wanted = scaled(currentWarp(), app.doc.strength);
  const weakened = wanted.theta.some((value, i) => value !== shown.theta[i]);
  if (weakened) shown = effective(app.doc, contentSize().map((side) => Math.min(side, 512)));
  drawShown(FINE_CELLS);
}

// Where frames take long while something is dragged, fewer pixels are drawn until it is let go.
function keepPace() {
  const now = performance.now();
  const gap = now - lastDrawn;
  lastDrawn = now;
  if (drag && gap < 400) slow = Math.max(0, Math.min(9, slow + (gap > SLOW_MS ? 1 : gap < SLOW_MS / 2 ? -1 : 0)));
  // Not more again before the drag has ended: a change takes time itself.
  share = drag ? Math.min(share, LESS.find(([frames]) => slow > frames)[1]) : 1;
  const [width, height] = stage.size;
  const { canvas } = renderer;
  if (canvas.width !== Math.round(width * share)) {
    canvas.width = Math.round(width * share);
    canvas.height = Math.round(height * share);
  }
}

function placeHandles() {
  const visible = app.view === 'bend' && app.tool === 'bend' && app.mesh;
  const k = shown.lattice > 7 ? 7 : 5;
  makeHandles(visible ? k : 0);
  if (!visible) return;
  const inverse = inverseOf(shown);
  const flip = shown.mirrored ? -1 : 1;
  for (const [i, handle] of handles.entries()) {
    // Those that are not dragged are in the way of what is looked at.
    handle.element.hidden = Boolean(drag) && !chosen.has(i);
    if (handle.element.hidden) continue;
    handle.at = inverse(handle.content[0] * flip, handle.content[1], handle.at);
    const [x, y] = handle.at;
    const inside = Math.abs(x) <= 1.001 && Math.abs(y) <= 1.001;
    handle.element.hidden = !inside;
    if (!inside) continue;
    const [sx, sy] = toScreen(handle.at);
    handle.element.style.transform = `translate(${sx}px, ${sy}px)`;
  }
}

// k×k points spread over the content, each a button that arrow keys move.
function makeHandles(k) {
  if (handles.length === k * k) return;
  chosen.clear();
  const places = latticePoints(Math.max(2, k));
  handles = Array.from({ length: k * k }, (_, i) => {
    const content = [0.9 * places[2 * i], 0.9 * places[2 * i + 1]];
    const element = el('button.handle', {
      type: 'button', tabIndex: i ? -1 : 0,
      ariaLabel: `Point, row ${Math.floor(i / k) + 1}, column ${(i % k) + 1}`,
      ariaPressed: 'false',
    });
    element.handleIndex = i;
    return { element, content, at: undefined };
  });
  $('#handles').replaceChildren(...handles.map(({ element }) => element));
}

function choose(index, more) {
  if (!more && !chosen.has(index)) chosen.clear();
  if (more && chosen.has(index)) chosen.delete(index);
  else chosen.add(index);
  handles.forEach(({ element }, i) => element.setAttribute('aria-pressed', String(chosen.has(i))));
}

// The warp that a drag begins from: what is shown becomes the new full strength.
function startWarp() {
  const warp = effective(app.doc, null);
  const lattice = Math.max(warp.lattice, app.fine ? LATTICES.fine : LATTICES.coarse);
  let found = editable(warp, lattice);
  if (!isSound(found)) found = guarded(found);
  return found;
}

const tool = {
  down(event, at) {
    if (!contentSize()) return;
    const index = event.target.handleIndex;
    const onHandle = index !== undefined;
    if (onHandle) choose(index, event.shiftKey);
    else chosen.clear();
    if (onHandle && !chosen.size) return;
    const from = onHandle ? [...chosen].map((i) => handles[i].at) : [at];
    drag = new Drag(startWarp(), from, onHandle ? HANDLE_REACH : app.reach);
    drag.at = at;
    drag.moves = 0;
    if (!onHandle) handles.forEach(({ element }) => element.setAttribute('aria-pressed', 'false'));
    $('#invite').classList.add('gone');
    ring(event, onHandle);
  },
  move(event, at) {
    if (!drag) return;
    pending = [at[0] - drag.at[0], at[1] - drag.at[1]];
    drag.moves++;
    ring(event, event.target.handleIndex !== undefined);
    draw();
  },
  up() {
    if (!drag) return;
    const moved = drag.moves;
    if (pending) drawNow();
    drag = null;
    pending = null;
    $('#ring').classList.remove('on');
    if (moved) {
      mend();
      commit();
      app.visited = true;
      emit('bent');
    }
    draw();
  },
  cancel() {
    drag = null;
    pending = null;
  },
  hover(event) {
    ring(event, event.target.handleIndex !== undefined);
  },
};

// After a drag: weaken what folds in a single pixel of the picture, and say so.
function mend() {
  const size = contentSize().map((side) => Math.min(side, 512));
  const mended = guarded(app.doc.warp, size);
  const same = mended.theta.every((value, i) => value === app.doc.warp.theta[i]);
  if (!same) live({ warp: mended });
  status(same ? '' : 'A tiny fold was mended.');
}

function ring(event, hide) {
  const element = $('#ring');
  const touch = event.pointerType === 'touch';
  const box = stage.element.getBoundingClientRect();
  element.classList.toggle('on', !hide && app.tool === 'bend' && (!touch || Boolean(drag)) && event.target.closest('#world, #stage') !== null && !event.target.closest('.toolbar'));
  const radius = (app.reach * Math.max(...stage.size) * stage.scale) / 2;
  element.style.width = element.style.height = `${2 * radius}px`;
  element.style.transform = `translate(${event.clientX - box.left - radius}px, ${event.clientY - box.top - radius}px)`;
}

function onKey(event) {
  const index = document.activeElement?.handleIndex;
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (index === undefined || !step) return;
  event.preventDefault();
  const k = Math.round(Math.sqrt(handles.length));
  if (event.altKey || event.ctrlKey) {
    const next = index + step[0] + step[1] * k;
    handles[next]?.element.focus();
    return;
  }
  const from = (chosen.size > 1 && chosen.has(index) ? [...chosen] : [index]).map((i) => handles[i].at);
  const by = NUDGE * (event.shiftKey ? 5 : 1);
  const moved = new Drag(startWarp(), from, HANDLE_REACH).moved(step[0] * by, step[1] * by);
  change({ warp: { ...moved, message: '', confidence: null }, edited: true, strength: 1 });
  emit('bent');
}

export function resetWarp() {
  change({ warp: null, edited: false, strength: 1, pins: app.doc.pins });
  emit('match');
}

export function setReach(reach) {
  app.reach = Math.max(0.08, Math.min(1.5, reach));
  save();
  emit('reach-set', app.reach);
}

export function start() {
  renderer = new Renderer($('#warp'));
  stage.element.addEventListener('keydown', onKey);
  on('doc', (keys) => {
    if (keys.includes('content')) showPicture();
    draw();
  });
  on('view', draw);
  on('shot', showPicture);
  on('reach', (factor) => setReach(app.reach * factor));
  on('tool', () => {
    if (app.tool === 'bend') stage.tool = tool;
    draw();
  });
  on('show', () => {
    if (app.view !== 'bend') stage.tool = null;
    else if (app.tool !== 'mask') stage.tool = tool;
    draw();
  });
  stage.tool = tool;
  setTimeout(() => prepareGuard(LATTICES.coarse), 300);
}
