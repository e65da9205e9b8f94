/** A card for each worker: what it costs and what it has left. */

import { Bar, Spark, arrange, byId, make, setLevel, setText, stamp } from './draw.js';
import { FINE, levelOf } from './health.js';
import { count, memory, milliseconds, percent, plural } from './text.js';

class Worker {
  #fields;
  #meters = {};
  #ports = new Map();

  constructor() {
    const { element, fields } = stamp('worker');
    this.element = element;
    this.#fields = fields;
    for (const name of ['cpu', 'lag', 'packets', 'memory']) this.#meters[name] = new Spark(fields[name]);
  }

  draw(worker) {
    const { history } = worker;
    const cpu = history.last('cpu');
    const levels = [levelOf('cpu', cpu ?? 0), levelOf('lag', worker.lag)];
    for (const [name, ports] of Object.entries(worker.ports)) levels.push(this.#drawPorts(name, ports));
    setText(this.#fields.name, `Worker ${worker.worker}`);
    const draining = worker.state === 'running' ? '' : `${worker.state}, `;
    setText(this.#fields.note, `${draining}${plural(worker.calls, 'call', 'calls')}, ${plural(worker.participants, 'participant', 'participants')}`);
    setLevel(this.#fields.mark, Math.max(...levels));
    setLevel(this.#fields.cpu, levels[0]);
    setLevel(this.#fields.lag, levels[1]);
    this.#meters.cpu.draw(percent(cpu), history.of('cpu'), 1);
    this.#meters.lag.draw(milliseconds(worker.lag), history.of('lag'), 0.02);
    this.#meters.packets.draw(`${count(worker.packets)}/s`, history.of('packets'), 100);
    this.#meters.memory.draw(memory(worker.memory), history.of('memory'), 1e8);
  }

  #drawPorts(name, { free, total }) {
    let bar = this.#ports.get(name);
    if (!bar) {
      const field = make('dd');
      this.#fields.ports.append(make('div', '', make('dt', '', `${name.toUpperCase()} ports`), field));
      this.#ports.set(name, (bar = new Bar(field)));
    }
    const used = total ? 1 - free / total : 0;
    const level = total ? levelOf('ports', used) : FINE;
    bar.draw(`${count(free)} of ${count(total)} free`, used, level);
    return level;
  }
}

export class Workers {
  #workers = new Map(); // index -> Worker

  draw({ state, workers }) {
    const cards = workers.map((worker) => {
      let card = this.#workers.get(worker.worker);
      if (!card) this.#workers.set(worker.worker, (card = new Worker()));
      card.draw(worker);
      return card.element;
    });
    arrange(byId('workers'), cards);
    const missing = state.expected - workers.length;
    byId('missing').hidden = missing <= 0;
    if (missing > 0) setText(byId('missing'), `${plural(missing, 'worker does', 'workers do')} not answer. A worker that has died is replaced within seconds.`);
  }
}
