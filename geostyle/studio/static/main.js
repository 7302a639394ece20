// The studio's page: begins or goes on with a session, and joins its parts.

import * as api from './api.js';
import * as batch from './batch.js';
import * as bend from './bend.js';
import * as compareView from './compare.js';
import { $, el, iconButton } from './dom.js';
import * as keys from './keys.js';
import * as masks from './masks.js';
import * as matching from './matching.js';
import * as painting from './painting.js';
import * as panel from './panel.js';
import { openPins } from './pins.js';
import * as slots from './slots.js';
import * as source from './source.js';
import * as stageView from './stage.js';
import { app, emit, emptyDoc, on, recall, redo, save, undo } from './store.js';
import * as strip from './strip.js';
import { complain } from './words.js';

const EXAMPLE = { content: 'content-coffee', geo: 'geo-coffee', tex: 'styles-night' };
const TOOLS = [['bend', 'bend', 'Bend (V)'], ['pins', 'pin', 'Pins (P)'], ['mask', 'brush', 'Mask (M)'], ['hand', 'hand', 'Hand (H)'], ['mesh', 'mesh', 'Mesh (G)']];

async function open() {
  const kept = recall();
  let whole = null;
  if (kept?.session) {
    try {
      whole = await api.recallSession(kept.session);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  if (whole) {
    const doc = kept.doc ?? whole.state.doc;
    Object.assign(app, { ...kept, doc: { ...emptyDoc(), ...doc }, view: kept.view ?? 'bend' });
  } else whole = await api.begin();
  app.session = whole.session;
  app.pictures = whole.pictures;
  app.snapshots = whole.snapshots;
  app.limits = whole.limits;
  app.output = whole.output;
  for (const shot of Object.values(app.snapshots)) shot.run ??= Boolean(shot.width);
  if (!Object.keys(app.pictures).length) await openExample();

}

// On the first visit: a finished painting that can be dragged at once.
async function openExample() {
  const warp = await (await fetch('/static/example.json')).json();
  const pictures = await Promise.all(Object.values(EXAMPLE).map((name) => api.bundled(name)));
  const [content, geo, tex] = pictures.map((picture) => picture.name);
  app.doc = { ...emptyDoc(), content, geo, tex: [tex], warp };
  app.past = [];
  app.future = [];
  app.snapshots.example = {
    local: true, status: 'done', created: 1, title: 'Example', width: 512, height: 341,
    url: '/static/example.jpg', thumb: '/static/example.jpg',
    state: { doc: app.doc, content, shown: warp },
  };
  app.shot = 'example';
}


function setView(view) {
  if (app.tool === 'mask' && view !== 'bend') setTool('bend');
  app.view = view;
  document.body.dataset.view = view;
  for (const tab of document.querySelectorAll('[role="tab"]')) {
    const own = tab.dataset.view === view;
    tab.setAttribute('aria-selected', String(own));
    tab.tabIndex = own ? 0 : -1;
  }
  if (view !== 'bend') $('#invite').classList.add('gone');
  emit('show');
  showTools();
  save();
}

function setTool(name) {
  if (name === 'pins') return openPins();
  if (name === 'mesh') {
    app.mesh = !app.mesh;
    showTools();
    return bend.draw();
  }
  if (name === 'mask' && !app.doc.content) return undefined;
  const before = app.tool;
  app.tool = name;
  document.body.dataset.tool = name;
  if (app.view !== 'bend' && name !== 'hand') setView('bend');
  if (name === 'mask') {
    stageView.stage.tool = masks.tool;
    masks.openMask();
  } else if (before === 'mask') bend.refreshPicture(true);
  $('#ring').classList.remove('on');
  emit('tool');
  return showTools();
}

function showTools() {
  const bar = $('.toolbar');
  const { view } = app;
  if (!bar.children.length) {
    for (const [name, image, label] of TOOLS) {
      const button = iconButton(image, label, () => setTool(name));
      button.dataset.tool = name;
      bar.append(button);
    }
    bar.append(el('span.rule'), iconButton('fit', 'Fit (0)', stageView.fit));
  }
  for (const button of bar.querySelectorAll('[data-tool]')) {
    const { tool } = button.dataset;
    button.hidden = view !== 'bend' && tool !== 'hand';
    const on_ = tool === 'mesh' ? app.mesh : tool === app.tool;
    if (tool !== 'pins') button.setAttribute('aria-pressed', String(on_));
  }
}

function showHistory() {
  $('#undo').disabled = !app.past.length;
  $('#redo').disabled = !app.future.length;
}

function theme() {
  const root = document.documentElement;
  const known = localStorage.getItem('geostyle-theme');
  if (known) root.dataset.theme = known;
  $('#theme').addEventListener('click', () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    localStorage.setItem('geostyle-theme', root.dataset.theme);
  });
}

function wire() {
  for (const tab of document.querySelectorAll('[role="tab"]')) tab.addEventListener('click', () => setView(tab.dataset.view));
  $('.tabs').addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const tabs = [...document.querySelectorAll('[role="tab"]')];
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    setView(next.dataset.view);
  });
  $('#undo').addEventListener('click', undo);
  $('#redo').addEventListener('click', redo);
  on('view-to', setView);
  on('tool-to', setTool);
  on('doc', showHistory);
  on('saved', (state) => api.keepState(state).catch(() => {}));
  on('put', () => {
    $('#invite').classList.add('gone');
    app.skin = false;
    bend.refreshPicture();
    if (app.view === 'compare') setView('bend');
  });
}

async function start() {
  theme();
  wire();
  try {
    await open();
    document.body.dataset.tool = app.tool;
    if (app.visited) $('#invite').classList.add('gone');
    stageView.start();
    for (const part of [bend, slots, matching, masks, painting, compareView, source, batch, strip, panel, keys]) part.start();
    setView(app.view);
    emit('doc', Object.keys(app.doc));
    emit('shot');
    emit('snapshots');
    showHistory();
    if (app.doc.content && !app.doc.warp && !app.doc.edited) matching.findWarp();
    else matching.findOthers();
    api.listen();
    document.body.dataset.ready = 'true';
  } catch (error) {
    complain(error);
  }
}

start();
