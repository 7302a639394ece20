// Beside the picture while it is bent.

import { choice, dial, el, segments, toggle } from './dom.js';
import { app, change, commit, emit, live } from './store.js';
import { draw, effective, refreshPicture, render, resetWarp, setReach } from './bend.js';
import { found } from './matching.js';
import { openPins } from './pins.js';
import { startPainting } from './painting.js';
import { aboutWarp, percent } from './words.js';

const FAMILIES = [
  ['affine+tps', 'Bends and turns'], ['tps', 'Bends only'], ['affine', 'Turns and stretches'],
  ['homography', 'Perspective'], ['biquadratic', 'One soft curve'], ['none', 'Nothing'],
];
const NAMES = {
  best: 'Best', upright: 'Upright', bold: 'Bold', affine: 'Straight', 'in place': 'In place',
  mirrored: 'Mirrored', 'not mirrored': 'Unmirrored', regression: 'Learned', 'any turn': 'Any turn', gentle: 'Gentle',
};
const THUMB = [120, 100];
let drawn = null;

// Small pictures of the warps to choose from, drawn by the same renderer.
function thumbnails(grid) {
  const { candidates } = found;
  if (drawn === candidates) return;
  drawn = candidates;
  grid.replaceChildren();
  if (candidates.length < 2) return;
  const { canvas } = render();
  for (const [i, candidate] of candidates.entries()) {
    const small = el('canvas', { width: THUMB[0], height: THUMB[1] });
    render().draw(effective({ ...app.doc, warp: candidate }));
    const scale = Math.max(THUMB[0] / canvas.width, THUMB[1] / canvas.height);
    const [w, h] = [canvas.width * scale, canvas.height * scale];
    small.getContext('2d').drawImage(canvas, (THUMB[0] - w) / 2, (THUMB[1] - h) / 2, w, h);
    grid.append(el('button', {
      type: 'button', ariaPressed: 'false',
      onclick: () => change({ warp: candidate, choose: i + 1, edited: false }),
    }, small, NAMES[candidate.label] ?? candidate.label));
  }
  draw();
}

export function bendPanel() {
  const words = el('p.words');
  const grid = el('div.choices', { role: 'group', ariaLabel: 'Ways to bend it' });
  const others = el('section', {}, el('p.title', {}, 'Ways to bend it'), grid);
  const reset = el('button.link', { type: 'button', onclick: resetWarp }, 'Start over');
  const strength = dial({
    label: 'Strength', min: 0, max: 2, step: 0.01, value: 1, words: percent,
    onlive: (value) => live({ strength: value }), onset: commit,
  });
  const reach = dial({ label: 'Size of a pull', min: 0.08, max: 1.5, step: 0.01, value: app.reach, words: percent, onlive: setReach });
  const detail = segments({
    label: 'Detail of a pull', options: [['broad', 'Broad'], ['fine', 'Fine']], value: 'broad',
    onset: (key) => { app.fine = key === 'fine'; detail.set(key); },
  });
  const skin = segments({
    label: 'What is bent', options: [['photo', 'Photo'], ['painting', 'Painting']], value: 'photo',
    onset: (key) => { app.skin = key === 'painting'; refreshPicture(); skin.set(key); },
  });
  const skinRow = el('div.row', {}, el('span', {}, 'Show'), skin);
  const family = choice({
    label: 'It may', options: FAMILIES, value: 'affine+tps',
    onset: (key) => { change({ family: key, edited: false, choose: 1 }); emit('match'); },
  });
  const keep = toggle({
    label: 'Keep place and size', value: false,
    onset: (on) => { change({ keep: on, edited: false, choose: 1 }); emit('match'); },
  });
  const mesh = toggle({ label: 'Show the mesh', value: true, onset: (on) => { app.mesh = on; draw(); } });
  const more = el('details.more', {}, el('summary', {}, 'More'), el('div', {}, family, keep, mesh,
    el('div.row', {}, el('span', {}, 'Detail'), detail)));
  const pins = el('button.plain', { type: 'button', onclick: openPins }, 'Pins…');
  const element = el('section', {},
    el('p.title', {}, 'Bend', reset), words, strength, reach, skinRow,
    el('div.row', {}, el('span.words', {}, 'Say what belongs together'), pins), others, more);
  const paint = el('button.main-action', { type: 'button', onclick: () => startPainting() }, 'Paint it');
  const update = () => {
    const { doc } = app;
    words.textContent = !doc.content ? 'Begin with a picture.'
      : doc.warp ? aboutWarp(doc.warp) : doc.geo ? '' : 'Drag the picture, or add a shape for it to take.';
    words.hidden = !words.textContent;
    reset.hidden = !doc.edited;
    strength.hidden = !doc.warp;
    strength.set(doc.strength);
    reach.set(app.reach);
    family.set(doc.family);
    keep.set(doc.keep);
    mesh.set(app.mesh);
    pins.textContent = doc.pins.length ? `Pins (${doc.pins.length})` : 'Pins…';
    const shot = app.snapshots[app.shot];
    skinRow.hidden = !(shot?.state?.content === doc.content && shot.state.shown && ['done', 'stopped'].includes(shot.status));
    skin.set(app.skin ? 'painting' : 'photo');
    thumbnails(grid);
    others.hidden = grid.children.length < 2;
    [...grid.children].forEach((button, i) => button.setAttribute('aria-pressed', String(!doc.edited && doc.choose === i + 1)));
    paint.disabled = !doc.content;
  };
  return { element, foot: el('div.foot', {}, paint), update };
}
