// Before and after: a line to drag, or side by side.

import * as api from './api.js';
import { drawNow } from './bend.js';
import { $ } from './dom.js';
import { app, emit, on } from './store.js';
import { fit, stage, toPicture, toScreen } from './stage.js';
import { complain } from './words.js';

const divider = $('#divider');
const context = $('#before').getContext('2d');
export const compare = { share: 0.5, side: false, before: 'content' };
let key = '';

async function showBefore() {
  if (app.view !== 'compare') return;
  const { content } = app.doc;
  if (!content) return;
  const wanted = `${compare.before}/${content}/${app.shot}/${stage.size}`;
  if (wanted === key && compare.before === 'content') return;
  key = wanted;
  const { canvas } = context;
  try {
    if (compare.before === 'content') {
      context.drawImage(await api.loadImage(api.pictureUrl(content)), 0, 0, canvas.width, canvas.height);
    } else {
      drawNow();
      context.drawImage($('#warp'), 0, 0, canvas.width, canvas.height);
    }
  } catch (error) {
    key = '';
    complain(error);
  }
}

export function place() {
  const comparing = app.view === 'compare';
  const paint = $('#paint');
  document.body.toggleAttribute('data-side', comparing && compare.side);
  paint.style.clipPath = comparing && !compare.side ? `inset(0 0 0 ${compare.share * 100}%)` : '';
  const [x, top] = toScreen([compare.share * 2 - 1, -1]);
  divider.style.transform = `translate(${x}px, ${top}px)`;
  divider.style.height = `${stage.size[1] * stage.scale}px`;
  divider.setAttribute('aria-valuenow', String(Math.round(compare.share * 100)));
}

function moveTo(share) {
  compare.share = Math.max(0, Math.min(1, share));
  place();
}

export function setSide(side) {
  compare.side = side;
  layOut();
  emit('compare');
}

export function setBefore(before) {
  compare.before = before;
  key = '';
  showBefore();
  emit('compare');
}

function layOut() {
  const side = app.view === 'compare' && compare.side;
  if (stage.side !== side) {
    stage.side = side;
    fit();
  }
  place();
}

export function start() {
  divider.addEventListener('pointerdown', (event) => {
    divider.setPointerCapture(event.pointerId);
    event.stopPropagation();
    event.preventDefault();
    divider.focus({ focusVisible: false });
  });
  divider.addEventListener('pointermove', (event) => {
    if (divider.hasPointerCapture(event.pointerId)) moveTo((toPicture(event)[0] + 1) / 2);
  });
  divider.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    moveTo(compare.share + step * (event.shiftKey ? 5 : 1));
  });
  on('view', place);
  on('show', () => {
    layOut();
    showBefore();
  });
  for (const name of ['shot', 'picture']) {
    on(name, () => {
      key = '';
      showBefore();
    });
  }
  on('doc', showBefore);
}
