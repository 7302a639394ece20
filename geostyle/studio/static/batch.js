// Many pictures with the present settings, and the queue.

import * as api from './api.js';
import { $, dialog, el, icon, iconButton } from './dom.js';
import { app, on } from './store.js';
import { isActive, startPainting, stopPainting } from './painting.js';
import { shots, show } from './strip.js';
import { complain, placeInLine, plainly, toast } from './words.js';

const MOST = 60;
const UNTYPED = /\.(jp2|j2k|avif|ppm|pgm|tiff?)$/i; // of which browsers do not tell the type
let body = null;

async function add(files) {
  const all = [...files].filter((file) => file.type.startsWith('image/') || UNTYPED.test(file.name));
  if (!all.length) return toast('There are no pictures among these files.');
  const pictures = all.slice(0, MOST);
  if (all.length > MOST) toast(`The first ${MOST} of ${all.length} pictures are taken.`);
  for (const file of pictures) {
    try {
      const { name } = await api.upload(file);
      // A warp by hand is for every picture; one that was found is found anew for each.
      const doc = { ...app.doc, content: name, masks: { content: null, geo: app.doc.masks.geo, tex: [] }, pins: [] };
      if (doc.edited) doc.warp = fitted(doc.warp, app.pictures[name]);
      else Object.assign(doc, { warp: null, choose: 1 });
      await startPainting(doc, false);
    } catch (error) {
      toast(`${file.name}: ${plainly(error)}`);
    }
  }
  return draw();
}

const fitted = (warp, { width, height }) => ({ ...warp, output_size: [height, width], content_size: [height, width] });

function pick(id) {
  const input = document.getElementById(id);
  input.value = '';
  input.onchange = () => add(input.files);
  input.click();
}

async function move(name, by) {
  const order = app.queue.map(({ snapshot }) => snapshot);
  const from = order.indexOf(name);
  const to = Math.max(0, Math.min(order.length - 1, from + by));
  order.splice(to, 0, ...order.splice(from, 1));
  try {
    ({ queue: app.queue } = await api.reorder(order));
    draw();
  } catch (error) {
    complain(error);
  }
}

function line([name, shot]) {
  const place = app.queue.findIndex((one) => one.snapshot === name);
  const words = shot.status === 'waiting' ? placeInLine(app.queue[place]?.place ?? 0)
    : shot.status === 'painting' ? 'being painted' : shot.status === 'done' ? 'finished' : shot.status;
  const src = shot.seconds ? api.shotUrl(name, 'thumb.jpg') : shot.state?.content && api.pictureUrl(shot.state.content, 'thumb');
  return el('li', {},
    src ? el('img', { src: shot.thumb ?? src, alt: '' }) : el('span.blank'),
    el('p.what', {}, el('b', {}, shot.title || 'Painting'), el('span.quiet.small', {}, words)),
    place > 0 ? iconButton('up', `Sooner: ${shot.title}`, () => move(name, -1)) : null,
    isActive(shot) ? iconButton('close', `Skip ${shot.title}`, () => stopPainting(name).then(draw))
      : el('button.plain', { type: 'button', onclick: () => { $('#batch').close(); show(name); } }, 'Look'));
}

function draw() {
  if (!body || !$('#batch').open) return;
  const order = new Map(app.queue.map(({ snapshot }, i) => [snapshot, i]));
  const list = shots().filter(([, shot]) => !shot.local)
    .sort(([a, one], [b, two]) => (order.get(a) ?? (isActive(one) ? -1 : 1e6)) - (order.get(b) ?? (isActive(two) ? -1 : 1e6)));
  $('.queue', body).replaceChildren(...list.map(line));
}

export function openBatch() {
  const made = dialog('batch', 'Many pictures');
  body = made.body;
  body.replaceChildren(
    el('p.words', {}, 'Each picture is painted with the shape, texture and settings that are chosen now, one after the other. They may be dropped here.'),
    el('div.ways', {},
      el('button.plain', { type: 'button', onclick: () => pick('files') }, icon('plus'), 'Choose pictures'),
      el('button.plain', { type: 'button', onclick: () => pick('folder') }, 'Choose a folder')),
    el('ul.queue'),
  );
  body.ondrop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    add(event.dataTransfer.files);
  };
  made.element.showModal();
  draw();
}

export function start() {
  on('snapshots', draw);
}
