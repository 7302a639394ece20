// Keyboard: every command has a key.

import { $, dialog, el } from './dom.js';
import { emit, redo, undo, app } from './store.js';
import { fit, stage, zoom } from './stage.js';
import { isActive, startPainting, stopPainting } from './painting.js';

const KEYS = [
  ['1 2 3', 'bend, paint, compare'],
  ['drag', 'pull the picture, or one of its points'],
  ['Shift', 'choose several points'],
  ['arrows', 'move the point in focus; with Shift faster, with Alt to its neighbor'],
  ['[ ]', 'size of the pull or of the brush'],
  ['V P M H', 'bend, pins, mask, hand'],
  ['G', 'the mesh'],
  ['Space', 'hold it to move the view; the wheel zooms'],
  ['0 + −', 'fit, zoom in, zoom out'],
  ['Enter', 'paint, or stop'],
  ['Ctrl Z', 'undo; with Shift redo'],
  ['Ctrl V', 'paste a picture'],
];

const COMMANDS = {
  1: () => emit('view-to', 'bend'), 2: () => emit('view-to', 'paint'), 3: () => emit('view-to', 'compare'),
  v: () => emit('tool-to', 'bend'), m: () => emit('tool-to', 'mask'), h: () => emit('tool-to', 'hand'),
  p: () => emit('tool-to', 'pins'), g: () => emit('tool-to', 'mesh'),
  '[': () => emit('reach', 1 / 1.15), ']': () => emit('reach', 1.15),
  0: fit, '+': () => zoom(1.25), '=': () => zoom(1.25), '-': () => zoom(0.8), '?': openHelp,
  Enter: () => (isActive(app.snapshots[app.shot]) ? stopPainting() : startPainting()),
};

export function openHelp() {
  const { element, body } = dialog('help', 'How it works');
  body.replaceChildren(
    el('p.words', {}, 'Choose a content, a shape for it to take, and a texture to paint it with. Drag the picture until you like its shape, then paint it. Everything stays on this computer.'),
    el('dl', {}, KEYS.flatMap(([keys, words]) => [
      el('dt', {}, keys.split(' ').map((key) => el('kbd', {}, key))), el('dd', {}, words)])),
  );
  element.showModal();
}

export function start() {
  document.addEventListener('keydown', (event) => {
    if (document.querySelector('dialog[open]')) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') {
      event.preventDefault();
      (event.shiftKey ? redo : undo)();
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'y') {
      event.preventDefault();
      redo();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches('input, select, textarea, summary, a')) return;
    if (event.key === ' ' && !event.target.matches('button')) {
      event.preventDefault();
      stage.space = true;
      return;
    }
    if (event.key === 'Enter' && event.target.matches('button')) return;
    COMMANDS[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.();
  });
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ') stage.space = false;
  });
  $('#help-open').addEventListener('click', openHelp);
}
