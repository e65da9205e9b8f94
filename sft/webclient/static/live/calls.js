/** The calls: one line each, and the people of those that are open. */

import { Spark, arrange, byId, isInUse, setLevel, setText, stamp } from './draw.js';
import { BAD, FINE, POOR } from './health.js';
import { order, tally } from './model.js';
import { People } from './people.js';
import { age, bitrate, plural } from './text.js';

const FEW = 12; // people in all calls together up to which calls are open though all is well

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHTS = { [BAD]: 10, [POOR]: 7.5, [FINE]: 5 };

/** One small bar for each participant, worst first, higher if worse. */
class Skyline {
  #svg;
  #paths = {};
  #drawn = '';

  constructor(parent) {
    this.#svg = parent.appendChild(document.createElementNS(SVG, 'svg'));
    this.#svg.setAttribute('preserveAspectRatio', 'none');
    for (const level of [BAD, POOR, FINE]) {
      const path = this.#svg.appendChild(document.createElementNS(SVG, 'path'));
      setLevel(path, level);
      this.#paths[level] = path;
    }
  }

  draw(counts) {
    if (String(counts) === this.#drawn) return;
    this.#drawn = String(counts);
    this.#svg.setAttribute('viewBox', `0 0 ${Math.max(40, counts[FINE] + counts[POOR] + counts[BAD])} 10`);
    let x = 0;
    for (const level of [BAD, POOR, FINE]) {
      let path = '';
      for (let index = 0; index < counts[level]; index++, x++) path += `M${x} 10h.72v-${HEIGHTS[level]}h-.72z`;
      this.#paths[level].setAttribute('d', path);
    }
  }
}

class Call {
  #fields;
  #skyline;
  #people;
  #in;
  #out;
  #call = null;
  #opened = false; // by us
  #chosen = false; // somebody has opened or closed it

  constructor() {
    const { element, fields } = stamp('call');
    this.element = element;
    this.#fields = fields;
    this.#skyline = new Skyline(fields.skyline);
    this.#in = new Spark(fields.in.parentElement, fields.in);
    this.#out = new Spark(fields.out.parentElement, fields.out);
    this.#people = new People(fields.rows, fields.more, () => this.#drawPeople());
    element.ontoggle = () => {
      if (element.open !== this.#opened) this.#chosen = true;
      this.#drawPeople();
    };
  }

  /** @param {boolean} few whether there is room to show also what is fine */
  draw(call, few) {
    this.#call = call;
    const { mark, id, age: time, count, verdict } = this.#fields;
    const counts = tally(call.people);
    setLevel(mark, call.level);
    setText(id, call.id);
    setText(time, age(call.age));
    setText(count, plural(call.people.length, 'participant', 'participants'));
    setText(verdict, judge(counts));
    setLevel(verdict, call.level);
    this.#skyline.draw(counts);
    this.#in.draw(bitrate(call.history.last('in')), call.history.of('in'), 12_500);
    this.#out.draw(bitrate(call.history.last('out')), call.history.of('out'), 12_500);
    if (!this.#chosen && !isInUse(this.element)) this.element.open = this.#opened = few || call.level > FINE;
    this.#drawPeople();
  }

  #drawPeople() {
    if (this.element.open && this.#call) this.#people.draw(this.#call.people);
  }
}

function judge(counts) {
  const words = [];
  if (counts[BAD]) words.push(`${counts[BAD]} bad`);
  if (counts[POOR]) words.push(`${counts[POOR]} poor`);
  return words.join(', ') || 'all fine';
}

export class Calls {
  #list = byId('calls');
  #calls = new Map(); // key -> Call
  #keys = null; // the order shown

  draw({ calls, people }) {
    const ordered = order(calls, this.#keys && isInUse(this.#list) ? this.#keys : null);
    this.#keys = ordered.map(({ key }) => key);
    this.#calls = new Map(ordered.map(({ key }) => [key, this.#calls.get(key) ?? new Call()]));
    for (const call of ordered) this.#calls.get(call.key).draw(call, people.length <= FEW);
    arrange(this.#list, [...this.#calls.values()].map(({ element }) => element));
    byId('no-calls').hidden = calls.length > 0;
  }
}
