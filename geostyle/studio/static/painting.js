// Painting: start, stop, go on; frames as they come; what is left to do.

import * as api from './api.js';
import { $ } from './dom.js';
import { drawNow, effective } from './bend.js';
import { app, emit, on, save } from './store.js';
import { canPaint, fullRecipe } from './recipe.js';

import { complain, duration, placeInLine, status, title, toast } from './words.js';

const context = $('#paint').getContext('2d');
const ACTIVE = ['waiting', 'painting', 'stopping'];
export const running = () => Object.entries(app.snapshots).find(([name, shot]) => ACTIVE.includes(shot.status) && name === app.shot) ?? null;
export const isActive = (shot) => ACTIVE.includes(shot?.status);
let lastFrame = 0;
let shownKey = '';

export async function startPainting(doc = app.doc, show = true) {
  if (!canPaint(doc)) {
    toast(doc.content ? 'Choose a texture to paint with.' : 'Choose a picture first.');
    return null;
  }
  const state = { doc, content: doc.content, shown: effective(doc) };
  try {
    const { snapshot } = await api.paint(fullRecipe(doc), title(doc), state);
    app.snapshots[snapshot] ??= { status: 'waiting', created: Date.now() / 1000, title: title(doc), state };
    if (show) {
      app.shot = snapshot;
      copyWarp();
      emit('view-to', 'paint');
      emit('shot');
    }
    emit('snapshots');
    save();
    return snapshot;
  } catch (error) {
    complain(error);
    return null;
  }
}

export async function stopPainting(name = app.shot) {
  const shot = app.snapshots[name];
  if (!shot) return;
  shot.status = shot.status === 'waiting' ? 'stopped' : 'stopping';
  emit('snapshots');
  await api.stop(name).catch(complain);
}

export async function goOn(name = app.shot) {
  try {
    await api.resume(name);
  } catch (error) {
    complain(error);
  }
}

// Where nothing is painted yet the painting shows what is bent.
export function copyWarp() {
  shownKey = 'warp';
  drawNow(false); // what WebGL has drawn is gone after its frame
  context.drawImage($('#warp'), 0, 0, context.canvas.width, context.canvas.height);
}

async function showResult() {
  const shot = app.snapshots[app.shot];
  if (!shot) return copyWarp();
  if (isActive(shot)) return undefined;
  const key = `${app.shot}/${shot.status}/${shot.seconds}`;
  if (key === shownKey) return undefined;
  shownKey = key;
  if (!shot.run && !shot.url && !shot.width) return copyWarp();
  try {
    const image = await api.loadImage(shot.url ?? api.shotUrl(app.shot, 'result.png'));
    if (key === shownKey) drawPainting(image);
  } catch {
    if (key === shownKey) copyWarp();
  }
  return undefined;
}

function drawPainting(image) {
  const { canvas } = context;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  emit('painted');
}

async function onFrame(event) {
  const number = ++lastFrame;
  const image = await createImageBitmap(event.image);
  if (event.snapshot !== app.shot || number < lastFrame - 3) return;
  if (app.snapshots[app.shot]?.status === 'stopping') return;
  shownKey = 'frame';
  drawPainting(image);
  image.close();
}

function onEvent(event) {
  const shot = app.snapshots[event.snapshot];
  if (event.what === 'hello') return hello(event);
  if (event.what === 'queue') {
    app.queue = event.queue;
    return emit('snapshots');
  }
  if (event.what === 'snapshot') {
    const { what, snapshot, image, ...rest } = event;
    if (!shot && rest.status === undefined) return undefined;
    app.snapshots[snapshot] = { ...shot, ...rest };
    if (rest.status === 'failed' && rest.line) toast(rest.line);
    for (const note of (shot?.notes ?? []).length ? [] : rest.notes ?? []) toast(note);
    emit('snapshots');
    if (snapshot === app.shot && !isActive(rest)) {
      showResult();
      emit('shot');
    }
    return undefined;
  }
  if (!shot) return undefined;
  if (event.what === 'begun') Object.assign(shot, { run: true, status: shot.status === 'stopping' ? 'stopping' : 'painting', began: performance.now(), width: event.width, height: event.height });
  if (event.what === 'frame') shot.progress = event;
  if (event.image) onFrame(event).catch(() => {});
  return showProgress();
}

function hello({ snapshots, pictures, queue, output, limits }) {
  const own = Object.entries(app.snapshots).filter(([, shot]) => shot.local);
  app.snapshots = { ...Object.fromEntries(own), ...snapshots };
  for (const shot of Object.values(app.snapshots)) shot.run ??= Boolean(shot.width);
  Object.assign(app.pictures, pictures);
  Object.assign(app, { queue, output, limits });
  if (app.shot && !app.snapshots[app.shot]) app.shot = null;
  emit('snapshots');
  emit('shot');
}

function showProgress() {
  const shot = app.snapshots[app.shot];
  const box = $('#progress');
  box.hidden = !isActive(shot) || app.view !== 'paint';
  if (box.hidden) return;
  const { progress } = shot;
  const share = progress ? progress.done / Math.max(1, progress.steps) : 0;
  $('.bar span', box).style.width = `${Math.max(2, share * 100)}%`;
  let words = 'Getting ready…';
  if (shot.status === 'waiting') {
    const place = app.queue.find((one) => one.snapshot === app.shot)?.place ?? 0;
    words = place > 0 ? `Waiting: ${placeInLine(place)}.` : 'Getting ready…';
  } else if (shot.status === 'stopping') words = 'Stopped; writing its files…';
  else if (progress) {
    words = `Layer ${progress.level + 1} of ${progress.levels} · ${timeLeft(progress)} · loss ${progress.loss.toPrecision(3)}`;
  }
  $('p', box).textContent = words;
}

// Steps of the fine levels take four times as long as those of the level before.
function timeLeft({ level, levels, done, steps, seconds }) {
  if (done < 4) return 'estimating';
  const per = steps / levels;
  const cost = (n) => { // of the first n steps, in steps of the last level
    let sum = 0;
    for (let i = 0; i < levels; i++) {
      const own = Math.max(0, Math.min(per, n - i * per));
      sum += own * 4 ** Math.min(0, i - (levels - 2)) + own * 0.08;
    }
    return sum;
  };
  const left = (seconds * (cost(steps) - cost(done))) / Math.max(1e-6, cost(done));
  return level + 1 === levels && left < 4 ? 'almost done' : `${duration(left)} left`;
}

export function start() {
  on('event', onEvent);
  on('shot', () => {
    showResult();
    showProgress();
  });
  on('snapshots', showProgress);
  on('show', () => {
    if (app.view !== 'bend' && !isActive(app.snapshots[app.shot])) showResult();
    showProgress();
    if (app.view !== 'bend') status('');
  });
  on('picture', () => {
    shownKey = '';
    if (!isActive(app.snapshots[app.shot])) showResult();
  });
  on('doc', (keys) => {
    if (shownKey === 'warp' && app.view !== 'bend' && keys.includes('warp')) copyWarp();
  });
}
