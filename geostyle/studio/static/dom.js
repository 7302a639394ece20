// Small helpers to make elements.

export const $ = (selector, within = document) => within.querySelector(selector);

// el('button.icon', {ariaLabel: 'Undo', onclick}, child, 'text'…)
export function el(kind, props = {}, ...children) {
  const [tag, ...classes] = kind.split('.');
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

export const iconButton = (name, label, onclick) =>
  el('button.icon', { type: 'button', ariaLabel: label, title: label, onclick }, icon(name));

let count = 0;

// A slider with its name and value; `words` turns the value into text.
export function dial({ label, min, max, step, value, words, onlive, onset, log }) {
  const id = `dial-${++count}`;
  const to = (v) => (log ? Math.log2(v) : v);
  const from = (v) => (log ? 2 ** v : Number(v));
  const output = el('output', { htmlFor: id });
  const input = el('input', {
    type: 'range', id, min: to(min), max: to(max), step: log ? 0.05 : step, value: to(value),
  });
  const show = () => {
    const share = (input.value - input.min) / (input.max - input.min);
    input.style.setProperty('--fill', `${share * 100}%`);
    output.textContent = words(from(input.value));
    input.setAttribute('aria-valuetext', output.textContent);
  };
  input.addEventListener('input', () => {
    show();
    onlive?.(from(input.value));
  });
  input.addEventListener('change', () => onset?.(from(input.value)));
  show();
  const element = el('div.dial', {}, el('label', { htmlFor: id }, label), output, input);
  element.set = (v) => {
    if (document.activeElement === input && input.matches(':active')) return;
    input.value = to(v);
    show();
  };
  return element;
}

// A few words of which one is chosen.
export function segments({ label, options, value, onset }) {
  const buttons = options.map(([key, words]) =>
    el('button', { type: 'button', onclick: () => onset(key) }, words));
  const element = el('div.segments', { role: 'group', ariaLabel: label }, buttons);
  element.set = (key) => options.forEach(([one], i) =>
    buttons[i].setAttribute('aria-pressed', String(one === key)));
  element.set(value);
  return element;
}

export function choice({ label, options, value, onset }) {
  const id = `dial-${++count}`;
  const select = el('select', { id, onchange: () => onset(select.value) },
    options.map(([key, words]) => el('option', { value: key }, words)));
  select.value = value;
  const element = el('div.row', {}, el('label', { htmlFor: id }, label), select);
  element.set = (key) => { select.value = key; };
  return element;
}

export function toggle({ label, value, onset }) {
  const id = `dial-${++count}`;
  const input = el('input.switch', { type: 'checkbox', id, checked: value, onchange: () => onset(input.checked) });
  const element = el('div.row', {}, el('label', { htmlFor: id }, label), input);
  element.set = (on) => { input.checked = on; };
  return element;
}

export function dialog(id, heading) {
  const element = document.getElementById(id);
  const body = el('div.body');
  element.replaceChildren(
    el('header', {}, el('h2', { id: `${id}-title` }, heading),
      iconButton('close', 'Close', () => element.close())),
    body,
  );
  element.addEventListener('click', (event) => {
    if (event.target === element) element.close();
  });
  return { element, body };
}
