// What the visitor has chosen (`app.doc`), its history, and where both are kept.

const KEY = 'geostyle-studio';
const MOST = 120;
const bus = new EventTarget();

export const on = (name, listener) => bus.addEventListener(name, (event) => listener(event.detail));
export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

export const DIALS = {
  tex_strength: 1, tex_scale: 1, content_weight: 1, guidance: 0.5, quick: false,
  painter: 'matched', features: 'lite', preserve_color: 'off', size_px: 512,
};

export const emptyDoc = () => ({
  content: null, geo: null, tex: [], masks: { content: null, geo: null, tex: [] },
  warp: null, edited: false, choose: 1, strength: 1, family: 'affine+tps', keep: false,
  pins: [], dials: { ...DIALS },
});

export const app = {
  session: null, pictures: {}, snapshots: {}, queue: [], limits: {}, output: '',
  doc: emptyDoc(), past: [], future: [],
  view: 'bend', tool: 'bend', mesh: true, shot: null, reach: 0.45, skin: true, visited: false,
};

let base = null; // the document before a change that is still going on

// Change the document; the change can be undone.
export function change(patch) {
  commit();
  app.past.push(app.doc);
  app.doc = { ...app.doc, ...patch };
  app.future = [];
  changed(patch);
}

// Change the document as part of a gesture; `commit` ends it as one step.
export function live(patch) {
  base ??= app.doc;
  app.doc = { ...app.doc, ...patch };
  emit('doc', Object.keys(patch));
}

export function commit() {
  if (!base || base === app.doc) {
    base = null;
    return;
  }
  app.past.push(base);
  app.future = [];
  base = null;
  changed({});
}

// Change what follows from the document, such as a warp that was found: no step of its own.
export function amend(patch) {
  app.doc = { ...app.doc, ...patch };
  if (base) base = { ...base, ...patch };
  changed(patch);
}

export function undo() {
  commit();
  if (!app.past.length) return;
  app.future.push(app.doc);
  restore(app.past.pop());
}

export function redo() {
  if (!app.future.length) return;
  app.past.push(app.doc);
  restore(app.future.pop());
}

function restore(doc) {
  const keys = Object.keys(doc).filter((key) => doc[key] !== app.doc[key]);
  app.doc = doc;
  emit('doc', keys);
  emit('restored', keys);
  save();
}

function changed(patch) {
  if (app.past.length > MOST) app.past.splice(0, app.past.length - MOST);
  emit('doc', Object.keys(patch));
  save();
}

let timer = 0;

export function save() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const { session, doc, past, future, view, mesh, shot, reach, visited } = app;
    const kept = { session, doc, past: past.slice(-MOST), future, view, mesh, shot, reach, visited };
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      localStorage.setItem(KEY, JSON.stringify({ ...kept, past: [], future: [] }));
    }
    emit('saved', { doc, shot });
  }, 250);
}

export function recall() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? null;
  } catch {
    return null;
  }
}
