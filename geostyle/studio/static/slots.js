// The three pictures: dropped, pasted, chosen, photographed, or taken from the gallery.

import * as api from './api.js';
import { $, el, icon } from './dom.js';
import { app, change, emit, on } from './store.js';
import { openGallery } from './gallery.js';
import { plainly, toast } from './words.js';

export const SLOTS = [
  { key: 'content', name: 'Content', hint: 'the picture to change' },
  { key: 'geo', name: 'Shape', hint: 'whose form it takes' },
  { key: 'tex', name: 'Texture', hint: 'what it is painted with' },
];
const MOST_TEXTURES = 3;
const slots = {};
let lastSlot = 'content';
let uploads = 0;
let unmatched = false;

export const pictureOf = (key) => (key === 'tex' ? app.doc.tex[0] : app.doc[key]) ?? null;

// Put a picture into a slot; what depended on the one before is dropped.
export function put(key, name, { add = false } = {}) {
  const { doc } = app;
  const masks = { ...doc.masks };
  if (key === 'tex') {
    const tex = name === null ? [] : add ? [...doc.tex, name].slice(-MOST_TEXTURES) : [name, ...doc.tex.slice(1)];
    change({ tex, masks: { ...masks, tex: [] } });
  } else {
    masks[key] = null;
    if (key === 'content') masks.tex = [];
    change({ [key]: name, masks, warp: null, edited: false, choose: 1, strength: 1, pins: [] });
    unmatched = true;
    matchOnce();
  }
  emit('put', key);
}

// Pictures that are dropped together are matched when the last has come.
function matchOnce() {
  if (!unmatched || uploads) return;
  unmatched = false;
  emit('match');
}

// Take files into slots: the first into `key`, the others into the empty ones after it.
export async function take(files, key) {
  const pictures = [...files].filter((file) => !file.type || file.type.startsWith('image/'));
  if (!pictures.length) {
    if (files.length) fail(key, 'this is no picture');
    return;
  }
  const place = SLOTS.findIndex((slot) => slot.key === key);
  await Promise.all(pictures.slice(0, 3).map(async (file, i) => {
    const target = SLOTS[Math.min(place + i, SLOTS.length - 1)].key;
    await into(target, api.upload(file));
  }));
}

export async function into(key, promise, options) {
  const slot = slots[key];
  uploads++;
  slot.element.classList.add('busy');
  slot.error.textContent = '';
  try {
    const picture = await promise;
    put(key, picture.name, options);
    for (const note of picture.notes ?? []) toast(note);
  } catch (error) {
    fail(key, plainly(error));
  } finally {
    slot.element.classList.remove('busy');
    uploads--;
    matchOnce();
  }
}

function fail(key, line) {
  slots[key].error.textContent = line;
}

const emptySlot = () => SLOTS.map(({ key }) => key).find((key) => !pictureOf(key)) ?? lastSlot;

function build({ key, name, hint }) {
  const image = el('img', { alt: '', hidden: true, draggable: false });
  const plus = icon('plus');
  const frame = el('button.frame', {
    type: 'button', onclick: () => { lastSlot = key; openGallery(key); },
  }, plus, image);
  const remove = el('button.remove', { type: 'button', ariaLabel: `Remove ${name.toLowerCase()}`, onclick: () => put(key, null) }, icon('close'));
  const title = el('span');
  const error = el('p.error', { role: 'alert' });
  const more = el('div.swatches');
  const element = el('div.slot', {}, frame, remove, el('p.name', {}, name, title), more, error);
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    element.classList.add('over');
  });
  element.addEventListener('dragleave', () => element.classList.remove('over'));
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove('over');
    take(event.dataTransfer.files, key);
  });
  slots[key] = { element, frame, image, plus, remove, title, error, more, hint, name };
  return element;
}

function show() {
  for (const { key, name, hint } of SLOTS) {
    const slot = slots[key];
    const picture = app.pictures[pictureOf(key)];
    slot.element.classList.toggle('empty', !picture);
    slot.image.hidden = !picture;
    slot.remove.hidden = !picture || key === 'content';
    slot.plus.toggleAttribute('hidden', Boolean(picture));
    if (picture) {
      const url = api.pictureUrl(picture.name, 'thumb');
      if (!slot.image.src.endsWith(url)) slot.image.src = url;
    }
    slot.title.textContent = picture ? picture.title ?? '' : '';
    slot.frame.setAttribute('aria-label', picture ? `${name}: ${picture.title || 'picture'}; change it` : `${name}: choose ${hint}`);
    slot.frame.title = hint;
  }
  showTextures();
}

function showTextures() {
  const { more } = slots.tex;
  const rest = app.doc.tex.slice(1);
  const thumb = (name, i) => el('button', {
    type: 'button', ariaLabel: `Remove texture ${i + 2}`,
    onclick: () => change({ tex: app.doc.tex.filter((_, j) => j !== i + 1), masks: { ...app.doc.masks, tex: [] } }),
  }, el('img', { src: api.pictureUrl(name, 'thumb'), alt: '' }));
  const add = el('button', { type: 'button', ariaLabel: 'Add a texture', title: 'Add a texture to mix', onclick: () => openGallery('tex', { add: true }) }, icon('plus'));
  more.replaceChildren(...rest.map(thumb), ...(app.doc.tex.length && rest.length < MOST_TEXTURES - 1 ? [add] : []));
}

export function start() {
  $('#slots').replaceChildren(...SLOTS.map(build));
  on('doc', show);
  show();
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    take(event.dataTransfer.files, emptySlot());
  });
  document.addEventListener('paste', (event) => {
    if (event.target.matches('input, textarea')) return;
    const files = [...event.clipboardData.files];
    if (files.length) take(files, $('#gallery').open ? $('#gallery').slot : emptySlot());
    $('#gallery').close();
  });
}
