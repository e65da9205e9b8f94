/** Makes of the server's states what the page shows: rates, histories, levels, order. */

import { FINE, Steady, assess } from './health.js';
import { Histories } from './history.js';

const add = (sum, value) => (value === null ? sum : (sum ?? 0) + value);
const sum = (values) => values.reduce(add, null);
const mean = (values) => (values.length ? sum(values) / values.length : null);

/** How many of these are fine, poor, bad. */
export function tally(people) {
  const counts = [0, 0, 0];
  for (const { level } of people) counts[level]++;
  return counts;
}

export class Model {
  #histories = new Histories();
  #health = new WeakMap(); // history -> Steady

  /** @param {object} state as /live/state gives it @param {number} now ms */
  take(state, now) {
    const times = new Map(state.workers.map(({ worker, time }) => [worker, time]));
    const calls = state.calls.map((call) => this.#call(call, times.get(call.worker), now));
    const workers = state.workers.map((worker) => this.#worker(worker));
    const people = calls.flatMap((call) => call.people);
    const totals = this.#totals(people, workers);
    this.#histories.turn();
    return { state, workers, calls, people, totals };
  }

  #worker(worker) {
    const history = this.#histories.get(`worker ${worker.worker}`);
    history.count('cpu', worker.cpu, worker.time);
    history.count('received', worker.received, worker.time);
    history.count('sent', worker.sent, worker.time);
    history.note('packets', worker.packets);
    history.note('lag', worker.lag);
    history.note('memory', worker.memory);
    return { ...worker, history };
  }

  #call(call, time, now) {
    const people = call.participants.map((one) => this.#participant(one, time, now));
    const history = this.#histories.get(call.key);
    history.note('in', sum(people.map((one) => one.history.last('up'))));
    history.note('out', sum(people.map((one) => one.history.last('down'))));
    return { ...call, people, history, level: Math.max(FINE, ...people.map(({ level }) => level)) };
  }

  #participant(one, time, now) {
    const history = this.#histories.get(one.key);
    history.count('up', one.up.bytes, time);
    history.count('down', one.down.bytes, time);
    history.count('repairs', one.up.nacks + one.down.nacks, time);
    let health = this.#health.get(history);
    if (!health) this.#health.set(history, (health = new Steady()));
    health.take(assess(one), now);
    const { level, note, all, past } = health;
    return { ...one, history, level, note: past ? `just now: ${note}` : note, all };
  }

  #totals(people, workers) {
    const history = this.#histories.get('totals');
    const lossIn = mean(people.map(({ up }) => up.loss));
    const lossOut = mean(people.map(({ down }) => down.loss));
    history.note('participants', people.length);
    history.note('in', sum(workers.map((worker) => worker.history.last('received'))));
    history.note('out', sum(workers.map((worker) => worker.history.last('sent'))));
    history.note('loss', lossIn === null ? null : Math.max(lossIn, lossOut));
    return { history, counts: tally(people), lossIn, lossOut };
  }
}

/** Worst first, else as they came. `before`: the keys of the order to keep, those that are new at the end. */
export function order(ones, before = null) {
  if (!before) return ones.toSorted((one, other) => other.level - one.level);
  const ranks = new Map(before.map((key, rank) => [key, rank]));
  const rank = ({ key }) => ranks.get(key) ?? ranks.size;
  return ones.toSorted((one, other) => rank(one) - rank(other));
}
