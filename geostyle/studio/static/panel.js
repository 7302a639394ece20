// What stands beside the picture, for the step one is in.

import { $, el } from './dom.js';
import { app, on } from './store.js';
import { bendPanel } from './panel_bend.js';
import { maskPanel } from './panel_mask.js';
import { paintPanel } from './panel_paint.js';
import { comparePanel } from './panel_compare.js';

const panels = {};

function show() {
  const name = app.view === 'bend' && app.tool === 'mask' ? 'mask' : app.view;
  for (const [key, panel] of Object.entries(panels)) {
    panel.element.hidden = key !== name;
    panel.foot.hidden = key !== name;
    if (key === name) panel.update();
  }
  $('#panel').setAttribute('aria-labelledby', `tab-${app.view}`);
}

export function start() {
  Object.assign(panels, { bend: bendPanel(), mask: maskPanel(), paint: paintPanel(), compare: comparePanel() });
  const parts = Object.values(panels).flatMap(({ element, foot }) => [element, foot]);
  $('#panel').replaceChildren(...parts);
  for (const name of ['show', 'tool', 'doc', 'shot', 'snapshots', 'candidates', 'compare', 'reach-set']) on(name, show);
  show();
}

export const foot = (...children) => el('div.foot', {}, ...children);
