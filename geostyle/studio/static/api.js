// Everything that is asked of the server.

import { app, emit } from './store.js';

const JSON_TYPE = { 'content-type': 'application/json' };

async function ask(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers });
  } catch {
    throw new Error('the studio does not answer; is it still running?');
  }
  if (answer.ok) return answer;
  let line = await answer.text();
  let dropped = false;
  try {
    ({ line, dropped = false } = JSON.parse(line));
  } catch {
    line = line.slice(0, 200) || `the studio answered ${answer.status}`;
  }
  throw Object.assign(new Error(line ?? ''), { status: answer.status, dropped });
}

const own = (path) => `/api/${app.session}${path}`;
const send = async (method, path, value) =>
  (await ask(method, own(path), JSON.stringify(value ?? {}), JSON_TYPE)).json();

export const begin = async () => (await ask('POST', '/api', '{}', JSON_TYPE)).json();
export const recallSession = async (name) => (await ask('GET', `/api/${name}`)).json();
export const gallery = async () => (await ask('GET', '/gallery')).json();
export const keepState = (state) => send('PUT', '/state', state);
export const bundled = (name) => taken(send('POST', '/bundled', { name }));
export const match = (recipe) => send('POST', '/match', recipe);
export const candidates = (recipe) => send('POST', '/match', { ...recipe, candidates: true });
export const prepare = (recipe) => send('POST', '/prepare', recipe);
export const paint = (recipe, title, state) => send('POST', '/paint', { recipe, title, state });
export const stop = (shot) => send('POST', `/snapshots/${shot}/stop`);
export const resume = (shot) => send('POST', `/snapshots/${shot}/resume`);
export const keep = (shot) => send('POST', `/snapshots/${shot}/keep`);
export const remove = (shot) => send('DELETE', `/snapshots/${shot}`);
export const reorder = (order) => send('PUT', '/queue', { order });

export async function sketch(recipe) {
  return (await ask('POST', own('/sketch'), JSON.stringify(recipe), JSON_TYPE)).blob();
}

export async function source(shot) {
  return new Float32Array(await (await ask('GET', own(`/snapshots/${shot}/source`))).arrayBuffer());
}

export async function upload(file, kind = 'picture') {
  if (file.size > app.limits.bytes) {
    throw new Error(`expected a file of at most ${Math.round(app.limits.bytes / 1e6)} MB`);
  }
  const title = encodeURIComponent((file.name ?? '').replace(/\.[^.]*$/, '')).slice(0, 78);
  return taken(ask('POST', own(`/pictures?kind=${kind}`), file, {
    'content-type': 'application/octet-stream', 'x-title': title,
  }).then((answer) => answer.json()));
}

async function taken(answer) {
  const picture = await answer;
  try {
    picture.title = decodeURIComponent(picture.title ?? '');
  } catch { /* a title cut in the middle of a letter */ }
  app.pictures[picture.name] = picture;
  return picture;
}

export const pictureUrl = (name, kind = 'shown') => own(`/pictures/${name}/${kind}`);
export const shotUrl = (shot, file) => own(`/snapshots/${shot}/${file}`);

// Events of the session, for ever; emitted as 'event' with the data of a frame.
export function listen() {
  let wait = 500;
  const open = () => {
    const socket = new WebSocket(`ws://${location.host}${own('/events')}`);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => { wait = 500; };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') return emit('event', { ...JSON.parse(data), image: null });
      const length = new DataView(data).getUint32(0, true);
      const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      return emit('event', { ...head, image: new Blob([new Uint8Array(data, 4 + length)], { type: 'image/jpeg' }) });
    };
    socket.onclose = () => setTimeout(open, (wait = Math.min(8000, wait * 2)));
  };
  open();
}

export function loadImage(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error('this picture could not be loaded'));
    image.src = url;
  });
}
