/** What the page remembers: rates made of counters, and the last minute or two of every series. */

const LENGTH = 60; // values a series keeps

/** A counter as its rate a second. */
class Rate {
  #value = null;
  #time = 0;

  /** The rate since the last call; null: not known. A counter that fell began anew. */
  take(value, time) {
    const rate = this.#value !== null && time > this.#time && value >= this.#value
      ? (value - this.#value) / (time - this.#time)
      : null;
    this.#value = value;
    this.#time = time;
    return rate;
  }
}

/** Of one participant, call or worker: numbers by name. */
export class History {
  #rates = new Map();
  #series = new Map();

  /** Take the newest value of a counter; returns its rate, null if not known yet. */
  count(name, value, time) {
    let rate = this.#rates.get(name);
    if (!rate) this.#rates.set(name, (rate = new Rate()));
    return this.note(name, rate.take(value, time));
  }

  /** Take the newest value of anything else. */
  note(name, value) {
    let series = this.#series.get(name);
    if (!series) this.#series.set(name, (series = []));
    series.push(value);
    if (series.length > LENGTH) series.shift();
    return value;
  }

  /** The last values of a series, the newest last; null where there was none. */
  of(name) {
    return this.#series.get(name) ?? [];
  }

  last(name) {
    return this.of(name).at(-1) ?? null;
  }
}

/** Histories by key; what did not come again is forgotten. */
export class Histories {
  #known = new Map();
  #next = new Map();

  get(key) {
    let history = this.#next.get(key);
    if (!history) this.#next.set(key, (history = this.#known.get(key) ?? new History()));
    return history;
  }

  /** Everything that is there now has been asked for. */
  turn() {
    this.#known = this.#next;
    this.#next = new Map();
  }
}
