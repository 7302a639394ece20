// Finding the warp between content and shape, and others to choose from.

import * as api from './api.js';
import { app, amend, emit, on } from './store.js';
import { pairRecipe, fullRecipe } from './recipe.js';
import { aboutWarp, complain, status } from './words.js';

let asked = 0;
let preparing = 0;
export const found = { candidates: [], busy: false };

const needed = (doc) => doc.content && (doc.geo || doc.pins.some((pin) => pin.content && pin.geo));

export async function findWarp() {
  const number = ++asked;
  const { doc } = app;
  found.candidates = [];
  emit('candidates');
  if (doc.edited || !doc.content) return;
  if (!needed(doc)) {
    if (doc.warp) amend({ warp: null });
    return;
  }
  found.busy = true;
  status('Looking for what the two shapes share…');
  try {
    const warp = await api.match(pairRecipe(doc));
    if (number !== asked) return;
    if (app.doc.edited) return;
    amend({ warp, choose: 1 });
    status(warp.message ? aboutWarp(warp) : '');
    emit('matched', warp);
    prepareSoon();
    await choices(number, doc);
  } catch (error) {
    if (number === asked) {
      status('');
      complain(error);
    }
  } finally {
    if (number === asked) found.busy = false;
  }
}

async function choices(number, doc) {
  if (!doc.geo || doc.family === 'none') return;
  await new Promise((resolve) => setTimeout(resolve, 600));
  if (number !== asked || app.doc.edited) return;
  const { candidates } = await api.candidates(pairRecipe(doc));
  if (number !== asked) return;
  found.candidates = candidates;
  emit('candidates');
}

// Others to choose from, for a warp that is known already.
export function findOthers() {
  choices(++asked, app.doc).catch(() => {});
}

// Let the server compute what comes before the first step, while the visitor looks.
export function prepareSoon() {
  clearTimeout(preparing);
  preparing = setTimeout(() => {
    if (app.doc.content && app.doc.tex.length) api.prepare(fullRecipe()).catch(() => {});
  }, 1500);
}

export function start() {
  const causes = ['content', 'geo', 'family', 'keep', 'pins'];
  on('doc', (keys) => {
    if (keys.includes('warp') || keys.includes('tex')) prepareSoon();
  });
  on('match', findWarp);
  on('restored', (keys) => {
    const sameInputs = !causes.some((key) => keys.includes(key));
    if (!app.doc.warp && !sameInputs) findWarp();
    else {
      asked++;
      status('');
      if (sameInputs) return;
      found.candidates = [];
      emit('candidates');
    }
  });
}
