/** The table of a call's participants. */

import { Bar, Spark, arrange, icon, isInUse, make, setLevel, setText, stamp } from './draw.js';
import { FINE, levelOf, limitText } from './health.js';
import { order } from './model.js';
import { age, bitrate, count, milliseconds, percent } from './text.js';

const FEW = 12; // rows that are shown in any case
const STREAMS = [['audio', 'mic', 'audio'], ['high', 'high', 'large picture'], ['low', 'low', 'small picture'], ['video', 'high', 'picture']];
const FULL = 12_500; // bytes a second that fill a line

/** Streams as pills: how many of each. */
class Streams {
  #parent;
  #drawn = '';

  constructor(parent) {
    this.#parent = parent;
  }

  /**
   * @param {Record<string, number>} streams
   * @param {boolean} counted whether there may be several
   * @param {string} limit why there are not more
   */
  draw(streams, counted, limit) {
    const text = JSON.stringify([streams, limit]);
    if (text === this.#drawn) return;
    this.#drawn = text;
    const pills = STREAMS.filter(([name]) => streams[name]).map(([name, symbol, words]) => {
      const number = counted ? [make('b', '', String(streams[name]))] : [];
      const pill = make('span', 'pill', ...number, icon(symbol), make('span', 'visually-hidden', words));
      pill.title = words;
      return pill;
    });
    if (limit) {
      const pill = make('span', 'pill limited', icon('less'), make('span', 'visually-hidden', limit));
      pill.title = limit;
      pills.push(pill);
    }
    this.#parent.replaceChildren(...(pills.length ? pills : ['–']));
  }
}

class Way {
  #name;
  #jitter;

  /** @param {'up' | 'down'} name */
  constructor(name, fields) {
    this.#name = name;
    this.rate = new Spark(fields[`${name}-rate`]);
    this.loss = new Bar(fields[`${name}-loss`]);
    this.#jitter = fields[`${name}-jitter`];
    this.streams = new Streams(fields[`${name}-streams`]);
  }

  draw(one) {
    const { loss, jitter, streams } = one[this.#name];
    this.rate.draw(bitrate(one.history.last(this.#name)), one.history.of(this.#name), FULL);
    this.loss.draw(percent(loss), Math.sqrt(loss * 4), levelOf('loss', loss));
    setText(this.#jitter, milliseconds(jitter));
    setLevel(this.#jitter, levelOf('jitter', jitter));
    const down = this.#name === 'down';
    this.streams.draw(streams, down, down ? limitText(one.limited) : '');
  }
}

class Row {
  #fields;
  #ways;

  constructor() {
    const { element, fields } = stamp('row');
    this.element = element;
    this.#fields = fields;
    this.#ways = ['up', 'down'].map((name) => new Way(name, fields));
  }

  draw(one) {
    const { mark, id, note, transport, path, trip, repairs } = this.#fields;
    setLevel(this.element, one.level);
    setLevel(mark, one.level);
    setText(id, one.id);
    setText(note, one.note || `here for ${age(one.age)}`);
    if (note.title !== one.all) note.title = one.all;
    setText(transport, one.transport ? one.transport.toUpperCase() : '–');
    transport.classList.toggle('unusual', one.transport === 'tcp');
    setText(path, one.transport ? `${one.path} ↔ ${one.remote}` : 'no path yet');
    path.classList.toggle('unusual', one.path === 'relay' || one.remote === 'relay');
    setText(trip, one.trip ? milliseconds(one.trip) : '–');
    setLevel(trip, levelOf('trip', one.trip));
    for (const way of this.#ways) way.draw(one);
    const rate = one.history.last('repairs');
    setText(repairs, rate === null ? '–' : `${count(rate)}/s`);
  }
}

export class People {
  #body;
  #more;
  #rows = new Map(); // key -> Row
  #keys = null; // the order shown
  #all = false;

  /** @param {Element} body of the table @param {Element} more the button that shows the rest */
  constructor(body, more, redraw) {
    this.#body = body;
    this.#more = more;
    more.onclick = () => {
      this.#all = !this.#all;
      redraw();
    };
  }

  draw(people) {
    const ordered = order(people, this.#keys && isInUse(this.#body) ? this.#keys : null);
    this.#keys = ordered.map(({ key }) => key);
    const troubled = people.filter(({ level }) => level > FINE).length;
    const few = Math.max(FEW, troubled);
    const shown = this.#all ? ordered : ordered.slice(0, few);
    const rows = new Map(shown.map((one) => [one.key, this.#rows.get(one.key) ?? new Row()]));
    for (const one of shown) rows.get(one.key).draw(one);
    this.#rows = rows;
    arrange(this.#body, [...rows.values()].map(({ element }) => element));
    this.#more.hidden = people.length <= few;
    if (people.length > few) setText(this.#more, this.#all ? 'Show the first only' : `Show ${people.length - few} more, who are fine`);
  }
}
