// Pins: places of the content, and where they are in the shape.

import * as api from './api.js';
import { $, dialog, el } from './dom.js';
import { app, change, emit } from './store.js';
import { complain } from './words.js';

const MOST = 40;
let pins = [];
let before = '';

const other = (side) => (side === 'content' ? 'geo' : 'content');
const half = () => pins.find((pin) => !pin.content || !pin.geo);

function add(side, at) {
  const open = half();
  if (open && !open[side]) open[side] = at;
  else if (open) open[side] = at;
  else if (pins.length < MOST) pins.push({ [side]: at, [other(side)]: null });
  show();
}

function marker(pin, number, side) {
  const button = el('button.pin', {
    type: 'button',
    ariaLabel: `Pin ${number + 1} in the ${side === 'content' ? 'content' : 'shape'}; arrow keys move it, Delete removes it`,
  }, String(number + 1));
  button.classList.toggle('half', !pin[other(side)]);
  const place = () => {
    button.style.left = `${(pin[side][0] + 1) * 50}%`;
    button.style.top = `${(pin[side][1] + 1) * 50}%`;
  };
  place();
  button.addEventListener('pointerdown', (event) => {
    event.stopPropagation();
    button.setPointerCapture(event.pointerId);
  });
  button.addEventListener('pointermove', (event) => {
    if (!button.hasPointerCapture(event.pointerId)) return;
    pin[side] = placeOf(event, button.parentElement);
    place();
  });
  button.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      event.preventDefault();
      pin[side] = pin[side].map((value, i) => Math.max(-1, Math.min(1, value + step[i] * 0.01)));
      place();
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      pins = pins.filter((one) => one !== pin);
      show();
    }
  });
  return button;
}

function placeOf(event, board) {
  const box = $('img', board).getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
    .map((value) => Math.max(-1, Math.min(1, 2 * value - 1)));
}

function show() {
  for (const side of ['content', 'geo']) {
    const board = $(`#pinboard .board.${side}`);
    board.querySelectorAll('.pin').forEach((pin) => pin.remove());
    pins.forEach((pin, i) => pin[side] && board.append(marker(pin, i, side)));
  }
  const open = half();
  $('#pinboard .words').textContent = open
    ? `Now show the same place in the ${open.content ? 'second' : 'first'} picture.`
    : 'Click a place in the first picture, then the same place in the second. Three or more work best.';
}

export function openPins() {
  const { content, geo } = app.doc;
  if (!content) return;
  pins = app.doc.pins.map((pin) => ({ ...pin }));
  before = JSON.stringify(pins);
  const { element, body } = dialog('pinboard', geo ? 'What belongs together' : 'Where it should go');
  const board = (side, name) => {
    const image = el('img', { src: api.pictureUrl(name), alt: side === 'content' ? 'The content' : 'The shape', draggable: false });
    return el(`div.board.${side}`, { onpointerdown: (event) => event.target === image && add(side, placeOf(event, image.parentElement)) }, image);
  };
  body.replaceChildren(
    el('p.words', { role: 'status' }),
    el('div.boards', {}, board('content', content), board('geo', geo ?? content)),
    el('div.row', {},
      el('div.ways', {},
        el('button.plain', { type: 'button', onclick: () => { pins.push({ content: [0, 0], geo: [0, 0] }); show(); } }, 'Add a pin'),
        el('button.plain', { type: 'button', onclick: () => { pins = []; show(); } }, 'Remove all')),
      el('button.plain', { type: 'button', onclick: () => element.close() }, 'Done')),
  );
  element.onclose = keep;
  element.showModal();
  show();
}

function keep() {
  pins = pins.filter((pin) => pin.content && pin.geo);
  if (JSON.stringify(pins) === before) return;
  try {
    change({ pins, edited: false, choose: 1, strength: 1 });
    emit('match');
  } catch (error) {
    complain(error);
  }
}
