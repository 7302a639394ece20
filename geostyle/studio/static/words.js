// Figures in words.

import { app } from './store.js';

export function aboutWarp(warp) {
  if (!warp) return '';
  if (warp.edited) return 'Shaped by hand.';
  if (warp.confidence === null || warp.confidence === undefined) return '';
  const { confidence: c } = warp;
  if (c < 0.2) return 'These two have almost no shape in common, so nothing is bent. Pins can show what belongs together.';
  if (c < 0.35) return 'A faint likeness: the bend is held back. Pins can make it bolder.';
  if (c < 0.55) return 'A fair likeness: the bend is kept mild.';
  if (c < 0.75) return 'A good likeness.';
  return 'A strong likeness.';
}

export const percent = (value) => `${Math.round(value * 100)} %`;
export const times = (value) => `${Number(value).toFixed(2).replace(/\.?0+$/, '')}×`;

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 8) return 'a few seconds';
  if (seconds < 55) return `${Math.round(seconds / 5) * 5} seconds`;
  if (seconds < 100) return 'a minute';
  if (seconds < 3600) return `${Math.round(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}

export function placeInLine(place) {
  if (place <= 0) return 'next in line';
  return place === 1 ? 'one painting before this' : `${place} paintings before this`;
}

// An error of the library as a visitor wants it.
export function plainly(error) {
  const line = error.message.replace(/^[a-z_]+: /, '');
  return line.charAt(0).toUpperCase() + line.slice(1);
}

let timer = 0;

export function toast(line) {
  const element = document.getElementById('toast');
  element.textContent = line;
  element.classList.add('on');
  clearTimeout(timer);
  timer = setTimeout(() => element.classList.remove('on'), 2500 + 45 * line.length);
}

export const complain = (error) => {
  if (!error.dropped) toast(plainly(error));
};

export const status = (line) => {
  document.getElementById('status').textContent = line;
};

export const title = (doc) => app.pictures[doc.content]?.title || 'Untitled';
