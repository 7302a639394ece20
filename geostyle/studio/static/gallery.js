// The sheet on which a picture is chosen for a slot.

import * as api from './api.js';
import { $, dialog, el, icon } from './dom.js';
import { SLOTS, into, take } from './slots.js';
import { complain, toast } from './words.js';

const SHELVES = [
  ['content', 'Photographs'], ['geo', 'Paintings with a shape'], ['scenes', 'Scenes'],
  ['styles', 'Styles'], ['textures', 'Textures'],
];
const FIRST = { content: ['content', 'scenes', 'geo'], geo: ['geo', 'scenes', 'content'], tex: ['styles', 'textures', 'scenes'] };
let pictures = null;

function ways(key, options) {
  const choose = (id) => () => {
    const input = document.getElementById(id);
    input.value = '';
    input.onchange = () => {
      $('#gallery').close();
      if (options.add) into(key, api.upload(input.files[0]), options);
      else take(input.files, key);
    };
    input.click();
  };
  const paste = async () => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((one) => one.startsWith('image/'));
        if (type) {
          $('#gallery').close();
          into(key, api.upload(await item.getType(type)), options);
          return;
        }
      }
      toast('There is no picture in the clipboard.');
    } catch {
      toast('Press Ctrl+V to paste a picture.');
    }
  };
  return el('div.ways', {},
    el('button.plain', { type: 'button', onclick: choose('file') }, icon('plus'), 'From this device'),
    el('button.plain', { type: 'button', onclick: choose('camera') }, icon('camera'), 'Take a photo'),
    el('button.plain', { type: 'button', onclick: paste }, icon('paste'), 'Paste'));
}

export async function openGallery(key, options = {}) {
  const slot = SLOTS.find((one) => one.key === key);
  const { element, body } = dialog('gallery', options.add ? 'One more texture' : `${slot.name} — ${slot.hint}`);
  element.slot = key;
  element.showModal();
  try {
    pictures ??= await api.gallery();
  } catch (error) {
    complain(error);
    return;
  }
  const kinds = [...FIRST[key], ...SHELVES.map(([kind]) => kind)].filter((kind, i, all) => all.indexOf(kind) === i);
  const shelf = (kind) => el('section.shelf', {},
    el('h3', {}, SHELVES.find(([one]) => one === kind)[1]),
    el('div', {}, pictures.filter((picture) => picture.kind === kind).map(({ name, title }) =>
      el('button', {
        type: 'button',
        onclick: () => {
          element.close();
          into(key, api.bundled(name), options);
        },
      }, el('img', { src: `/gallery/${name}`, alt: '', loading: 'lazy' }), title))));
  body.replaceChildren(ways(key, options), ...kinds.map(shelf));
}
