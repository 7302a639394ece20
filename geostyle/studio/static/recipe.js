// What is asked of the server, from the document.

import { app } from './store.js';

const DEFAULTS = { tex_strength: 1, tex_scale: 1, content_weight: 1, guidance: 0.5, quick: false };

// Pins in pixels of both pictures, for the library.
function points(doc) {
  const content = app.pictures[doc.content];
  const geo = app.pictures[doc.geo] ?? content;
  const whole = doc.pins.filter((pin) => pin.content && pin.geo);
  if (!whole.length || !content) return null;
  const pixels = ([x, y], { width, height }) => [
    ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2,
  ];
  return {
    content: whole.map((pin) => pixels(pin.content, content)),
    geo_style: whole.map((pin) => pixels(pin.geo, geo)),
  };
}

export const pairOptions = (doc) => ({ geometry: doc.family, keep_position: doc.keep, features: doc.dials.features });

export function pairRecipe(doc = app.doc) {
  return { content: doc.content, geo: doc.geo, masks: doc.masks, points: points(doc), options: pairOptions(doc) };
}

function dialsOf(doc) {
  const dials = {};
  for (const [name, value] of Object.entries(doc.dials)) {
    if (value !== DEFAULTS[name]) dials[name] = value;
  }
  if (doc.dials.painter === 'gram') {
    // The other painter has another scale, and neither guidance nor a quick way.
    if ('content_weight' in dials) dials.content_weight /= 10;
    delete dials.guidance;
    delete dials.quick;
  }
  const picture = app.pictures[doc.content];
  if (picture) dials.size_px = Math.min(doc.dials.size_px, 4096);
  return dials;
}

export function fullRecipe(doc = app.doc) {
  const recipe = pairRecipe(doc);
  recipe.tex = doc.tex;
  recipe.options = { ...recipe.options, ...dialsOf(doc), geo_strength: doc.strength };
  if (doc.warp && (doc.edited || !doc.geo)) recipe.warp = { ...doc.warp, edited: true };
  else if (doc.choose > 1) recipe.options.choose = doc.choose;
  return recipe;
}

export const canPaint = (doc = app.doc) => Boolean(doc.content && (doc.tex.length || doc.geo || doc.warp));
