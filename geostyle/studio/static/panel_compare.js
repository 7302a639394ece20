// Beside the picture while it is compared, and kept.

import * as api from './api.js';
import { el, icon, segments } from './dom.js';
import { compare, setBefore, setSide } from './compare.js';
import { app, change, emit } from './store.js';
import { goOn, isActive } from './painting.js';
import { complain, duration, toast } from './words.js';

const FILES = [
  ['result.png', 'PNG'], ['result.tif', 'TIFF'], ['painting.gif', 'GIF'],
  ['theta.json', 'Warp'], ['settings.yaml', 'Settings'],
];

async function keep() {
  try {
    const { folder } = await api.keep(app.shot);
    app.snapshots[app.shot].kept = folder;
    emit('snapshots');
    toast(`Kept in ${folder}`);
  } catch (error) {
    complain(error);
  }
}

async function forget() {
  const name = app.shot;
  const shot = app.snapshots[name];
  delete app.snapshots[name];
  app.shot = null;
  emit('shot');
  emit('snapshots');
  if (!shot.local) await api.remove(name).catch(complain);
}

export function comparePanel() {
  const ways = segments({ label: 'Way to compare', options: [['line', 'Slider'], ['side', 'Side by side']], value: 'line', onset: (key) => setSide(key === 'side') });
  const before = segments({ label: 'Before', options: [['content', 'Content'], ['bent', 'Bent']], value: 'content', onset: setBefore });
  const words = el('p.words');
  const downloads = el('div.downloads');
  const keeping = el('button.main-action', { type: 'button', onclick: keep }, icon('keep'), el('span', {}, 'Keep'));
  const back = el('button.plain', { type: 'button', onclick: () => { const { doc } = app.snapshots[app.shot].state; change(doc); emit('view-to', 'bend'); } }, 'Back to these settings');
  const again = el('button.plain', { type: 'button', onclick: () => { emit('view-to', 'paint'); goOn(); } }, 'Go on');
  const remove = el('button.link', { type: 'button', onclick: forget }, 'Delete');
  const about = el('section', {}, el('p.title', {}, 'This painting', remove), words, downloads, el('div.ways', {}, back, again));
  const element = el('section', {}, el('p.title', {}, 'Compare'), ways, el('div.row', {}, el('span', {}, 'Before'), before), about);
  const update = () => {
    const shot = app.snapshots[app.shot];
    ways.set(compare.side ? 'side' : 'line');
    before.set(compare.before);
    const finished = shot && !isActive(shot) && (shot.local || shot.run);
    about.hidden = !shot;
    keeping.hidden = !finished || Boolean(shot.local);
    keeping.disabled = Boolean(shot?.kept);
    keeping.lastChild.textContent = shot?.kept ? 'Kept' : 'Keep';
    if (!shot) return;
    const size = shot.width ? `${shot.width} × ${shot.height}` : '';
    const time = shot.seconds ? `painted in ${duration(shot.seconds)}` : '';
    words.textContent = shot.local ? 'An example: a cup of coffee in the shape of a painted cup, with the brushwork of a night sky.'
      : [shot.title, size, time, shot.status === 'done' ? '' : shot.line ?? shot.status, shot.kept ? `kept in ${shot.kept}` : ''].filter(Boolean).join(' · ');
    downloads.replaceChildren(...(finished && !shot.local ? FILES : [])
      .filter(([file]) => file !== 'theta.json' || shot.state?.shown)
      .map(([file, label]) => el('a', { href: api.shotUrl(app.shot, file), download: nameOf(shot, file) }, label)));
    back.hidden = !shot.state?.doc;
    again.hidden = shot.status !== 'stopped';
  };
  return { element, foot: el('div.foot', {}, keeping), update };
}

const nameOf = (shot, file) => `${(shot.title || 'painting').toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-')}-${file}`;
