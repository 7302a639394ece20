// Beside the picture while it is painted.

import * as api from './api.js';
import { choice, dial, el, segments } from './dom.js';
import { app, change, commit, live, on } from './store.js';
import { canPaint, fullRecipe } from './recipe.js';
import { goOn, isActive, startPainting, stopPainting } from './painting.js';
import { percent, times } from './words.js';

const COLORS = [['off', 'Texture'], ['histogram', 'Blend'], ['lab', 'Own']];
const SIZES = [192, 256, 384, 512, 768, 1024, 1536, 2048];
const SKETCH_AFTER_MS = 350;
let timer = 0;
let number = 0;

function dials() {
  const one = (name, options) => {
    const element = dial({
      ...options, value: app.doc.dials[name],
      onlive: (value) => live({ dials: { ...app.doc.dials, [name]: value } }), onset: commit,
    });
    element.show = () => element.set(app.doc.dials[name]);
    return element;
  };
  return [
    one('tex_strength', { label: 'Strength', min: 0, max: 2, step: 0.02, words: percent }),
    one('tex_scale', { label: 'Size of strokes', min: 0.25, max: 4, log: true, words: times }),
    one('content_weight', { label: 'Keep the content', min: 0, max: 4, step: 0.05, words: percent }),
    one('guidance', { label: 'Follow the shape', min: 0, max: 1, step: 0.02, words: percent }),
  ];
}

function named(name, make, options) {
  const element = make({
    ...options, value: app.doc.dials[name],
    onset: (value) => change({ dials: { ...app.doc.dials, [name]: options.from?.(value) ?? value } }),
  });
  element.show = () => element.set(options.to?.(app.doc.dials[name]) ?? app.doc.dials[name]);
  return element;
}

// A small painting in few steps, as the dials stand.
function sketchSoon(frame, image) {
  clearTimeout(timer);
  if (!canPaint() || !app.doc.tex.length) return;
  frame.classList.add('stale');
  timer = setTimeout(async () => {
    const own = ++number;
    try {
      const blob = await api.sketch(fullRecipe());
      if (own !== number) return;
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(blob);
      image.hidden = false;
      frame.classList.remove('stale');
    } catch (error) {
      if (!error.dropped) frame.classList.remove('stale');
    }
  }, SKETCH_AFTER_MS);
}

export function paintPanel() {
  const image = el('img', { alt: 'A quick sketch with these settings', hidden: true });
  const frame = el('div.sketch', {}, image, el('span', {}, 'sketch'));
  const parts = dials();
  const color = named('preserve_color', segments, { label: 'Colors', options: COLORS });
  const quality = named('quick', segments, {
    label: 'Care', options: [['quick', 'Quick'], ['full', 'Full']],
    from: (value) => value === 'quick', to: (quick) => (quick ? 'quick' : 'full'),
  });
  quality.show = () => quality.set(app.doc.dials.quick ? 'quick' : 'full');
  const size = named('size_px', choice, { label: 'Long side', options: SIZES.map((px) => [String(px), `${px} px`]), from: Number, to: String });
  const painter = named('painter', choice, { label: 'Painter', options: [['matched', 'Part by part'], ['gram', 'By statistics']] });
  const network = named('features', choice, { label: 'Network', options: [['lite', 'Light'], ['vgg19', 'VGG-19'], ['vgg16', 'VGG-16']] });
  const shown = [...parts, color, quality, size, painter, network];
  const element = el('section', {}, el('p.title', {}, 'Paint'), frame, ...parts,
    el('div.row', {}, el('span', {}, 'Colors'), color), el('div.row', {}, el('span', {}, 'Care'), quality), size,
    el('details.more', {}, el('summary', {}, 'More'), el('div', {}, painter, network)));
  const main = el('button.main-action', { type: 'button' });
  const again = el('button.plain', { type: 'button', onclick: () => startPainting() }, 'Begin a new one');
  const update = () => {
    shown.forEach((part) => part.show());
    const shot = app.snapshots[app.shot];
    const [label, act] = isActive(shot)
      ? [shot.status === 'stopping' ? 'Stopping…' : shot.status === 'waiting' ? 'Leave the line' : 'Stop', () => stopPainting()]
      : shot?.status === 'stopped' && shot.state?.doc ? ['Go on', () => goOn()] : ['Paint', () => startPainting()];
    main.textContent = label;
    main.onclick = act;
    main.disabled = shot?.status === 'stopping';
    again.hidden = label !== 'Go on';
    frame.hidden = !app.doc.tex.length || isActive(shot);
  };
  const refresh = (keys) => {
    const causes = ['dials', 'tex', 'warp', 'content', 'masks', 'strength'];
    if (app.view === 'paint' && (!keys || causes.some((key) => keys.includes(key)))) sketchSoon(frame, image);
  };
  on('doc', refresh);
  on('show', () => refresh(null));
  return { element, foot: el('div.foot', {}, main, again), update };
}
