// Beside the picture while a mask is drawn.

import { dial, el, segments } from './dom.js';
import { emit } from './store.js';
import { brush, clearMask, invertMask, openMask, targets } from './masks.js';
import { percent } from './words.js';

const ABOUT = {
  content: 'Brush over the subject: nothing else is matched with the shape.',
  geo: 'Brush over the subject of the shape: nothing else is matched.',
  tex: 'Brush where this texture may paint.',
};

export function maskPanel() {
  const words = el('p.words');
  const where = el('div');
  const size = dial({ label: 'Size', min: 0.01, max: 0.6, step: 0.005, value: brush.size, words: percent, onlive: (value) => { brush.size = value; } });
  const softness = dial({ label: 'Softness', min: 0, max: 1, step: 0.02, value: brush.softness, words: percent, onlive: (value) => { brush.softness = value; } });
  const kind = segments({
    label: 'Brush or eraser', options: [['brush', 'Brush'], ['eraser', 'Eraser']], value: 'brush',
    onset: (key) => { brush.erase = key === 'eraser'; kind.set(key); },
  });
  const element = el('section', {}, el('p.title', {}, 'Mask'), where, words, kind, size, softness,
    el('div.row', {},
      el('button.plain', { type: 'button', onclick: invertMask }, 'Invert'),
      el('button.plain', { type: 'button', onclick: clearMask }, 'Clear')),
    el('p.quiet.small', {}, 'A pen’s pressure changes the size. Alt erases.'));
  const done = el('button.main-action', { type: 'button', onclick: () => emit('tool-to', 'bend') }, 'Done');
  let known = '';
  const update = () => {
    const list = targets();
    if (!list.some(([key]) => key === brush.target)) brush.target = 'content';
    const key = JSON.stringify([list, brush.target]);
    if (key !== known) {
      known = key;
      where.replaceChildren(segments({
        label: 'What is masked', options: list, value: brush.target,
        onset: (target) => { brush.target = target; openMask(); update(); },
      }));
    }
    words.textContent = ABOUT[brush.target] ?? ABOUT.tex;
    size.set(brush.size);
  };
  return { element, foot: el('div.foot', {}, done), update };
}
