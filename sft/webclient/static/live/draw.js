/** Writing into the page: only what has changed, and nothing that moves anything else. */

export const byId = (id) => document.getElementById(id);

/** A copy of a template, and its elements by `data-field`. */
export function stamp(id) {
  const element = byId(id).content.firstElementChild.cloneNode(true);
  return { element, fields: fieldsOf(element) };
}

export function fieldsOf(element) {
  return Object.fromEntries([...element.querySelectorAll('[data-field]')].map((one) => [one.dataset.field, one]));
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setLevel(element, level) {
  const text = String(level);
  if (element.dataset.level !== text) element.dataset.level = text;
}

/** Put the elements into `parent` in this order, touching only those that stand elsewhere. */
export function arrange(parent, elements) {
  const focused = document.activeElement;
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let place = parent.firstElementChild;
  for (const element of elements) {
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  if (focused?.isConnected) focused.focus({ preventScroll: true }); // what moves loses it
}

const REST = 5000; // ms after which a pointer or focus that is just left there does not count
let movedAt = -REST;
for (const event of ['pointermove', 'pointerdown', 'keydown', 'wheel']) {
  addEventListener(event, () => (movedAt = performance.now()), { passive: true });
}

/** Whether somebody is at it, and nothing in it should move by itself. */
export const isInUse = (element) =>
  performance.now() - movedAt < REST && element.matches(':hover, :focus-within');

export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  const use = svg.appendChild(document.createElementNS(SVG, 'use'));
  use.setAttribute('href', `#i-${name}`);
  return svg;
}

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 60; // as many as a history has values
const HEIGHT = 20;

/** A line of the last values, with a number before it. */
export class Spark {
  #number;
  #area;
  #line;
  #drawn = '';

  /** @param {Element} parent what it fills @param {Element} [number] where the number stands */
  constructor(parent, number = null) {
    this.#number = number ?? parent.appendChild(make('span', 'number'));
    const svg = parent.appendChild(document.createElementNS(SVG, 'svg'));
    svg.setAttribute('class', 'spark');
    svg.setAttribute('viewBox', `0 0 ${WIDTH - 1} ${HEIGHT}`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    this.#area = svg.appendChild(document.createElementNS(SVG, 'path'));
    this.#area.setAttribute('class', 'area');
    this.#line = svg.appendChild(document.createElementNS(SVG, 'path'));
    this.#line.setAttribute('class', 'line');
  }

  /** `full`: what is as high as the picture, unless a value is higher. */
  draw(text, values, full) {
    setText(this.#number, text);
    const line = path(values, Math.max(full, ...values));
    if (line === this.#drawn) return;
    this.#drawn = line;
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', line.replace(/M([\d.]+) [^M]*/g, (part, from) => `${part}V${HEIGHT}H${from}Z`));
  }
}

/** The newest value stands at the right; what is not known is a gap. */
function path(values, full) {
  const start = WIDTH - values.length;
  let text = '';
  values.forEach((value, index) => {
    if (value === null) return;
    const y = HEIGHT - 1 - (value / full) * (HEIGHT - 2);
    text += `${(values[index - 1] ?? null) === null ? 'M' : 'L'}${start + index} ${y.toFixed(1)}`;
  });
  return text;
}

/** A share as a bar, with a number before it. */
export class Bar {
  #number;
  #bar;
  #drawn = '';

  constructor(parent) {
    this.#number = parent.appendChild(make('span', 'number'));
    this.#bar = parent.appendChild(make('span', 'level'));
    this.#bar.append(make('i'));
    this.#bar.setAttribute('aria-hidden', 'true');
  }

  draw(text, share, level) {
    setText(this.#number, text);
    const length = Math.min(1, Math.max(0, share)).toFixed(3);
    if (length !== this.#drawn) this.#bar.style.setProperty('--share', (this.#drawn = length));
    setLevel(this.#bar, level);
    setLevel(this.#number, level);
  }
}
