// The strip of paintings: each a snapshot that can be looked at, gone back to, and gone on with.

import * as api from './api.js';
import { $, el, icon } from './dom.js';
import { openBatch } from './batch.js';
import { app, emit, on, save } from './store.js';
import { isActive } from './painting.js';

const STATES = { waiting: 'waiting', painting: 'painting', stopping: 'stopping', stopped: 'stopped', failed: 'failed' };

export function shots() {
  return Object.entries(app.snapshots).sort(([, a], [, b]) => b.created - a.created);
}

function card([name, shot]) {
  const words = shot.progress && shot.status === 'painting'
    ? `${Math.round((100 * shot.progress.done) / Math.max(1, shot.progress.steps))} %` : STATES[shot.status];
  const picture = shot.thumb ?? (shot.seconds ? api.shotUrl(name, 'thumb.jpg') : null)
    ?? (shot.state?.content && app.pictures[shot.state.content] ? api.pictureUrl(shot.state.content, 'thumb') : null);
  return el('button.shot', {
    type: 'button',
    ariaLabel: `${shot.title || 'Painting'}, ${shot.status === 'done' ? 'finished' : words}`,
    ariaCurrent: String(name === app.shot),
    onclick: () => show(name),
  }, picture ? el('img', { src: picture, alt: '' }) : null, words ? el('span.state', {}, words) : null);
}

export function show(name) {
  app.shot = name;
  if (app.view === 'bend') emit('view-to', isActive(app.snapshots[name]) ? 'paint' : 'compare');
  emit('shot');
  emit('snapshots');
  save();
}

let known = '';

function draw() {
  const list = shots();
  const key = JSON.stringify([app.shot, list.map(([name, { status, seconds, progress }]) => [name, status, seconds, Math.round(20 * (progress?.done ?? 0) / (progress?.steps || 1))])]);
  if (key === known) return;
  known = key;
  const many = el('button.shot.wait', { type: 'button', onclick: openBatch, ariaLabel: 'Paint many pictures' }, el('span', {}, icon('more'), 'Many'));
  const focused = document.activeElement?.closest('.shot');
  const index = focused ? [...focused.parentElement.children].indexOf(focused) : -1;
  const row = el('div.shots', {}, list.map(card), many);
  const left = $('#strip .shots')?.scrollLeft ?? 0;
  $('#strip').replaceChildren(row);
  row.scrollLeft = left;
  if (index >= 0) row.children[Math.min(index, row.children.length - 1)]?.focus();
}

export function start() {
  on('snapshots', draw);
  on('shot', draw);
  on('event', ({ what }) => what === 'frame' && draw());
  draw();
}
