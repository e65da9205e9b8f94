/** The tiles at the top: the whole instance in five numbers. */

import { Spark, byId, fieldsOf, setLevel, setText } from './draw.js';
import { BAD, FINE, POOR, levelOf } from './health.js';
import { bitrate, count, percent, plural } from './text.js';

class Tile {
  #note;
  #spark;

  constructor(id) {
    this.element = byId(id);
    const { figure, note } = fieldsOf(this.element);
    this.#note = note;
    this.#spark = new Spark(this.element, figure);
  }

  draw(text, note, values, full) {
    setText(this.#note, note);
    this.#spark.draw(text, values, full);
  }
}

export class Summary {
  #health = byId('tile-health');
  #healthFields = fieldsOf(this.#health);
  #participants = new Tile('tile-participants');
  #in = new Tile('tile-in');
  #out = new Tile('tile-out');
  #loss = new Tile('tile-loss');
  #shares = [...this.#health.querySelectorAll('.shares span')];

  draw({ calls, people, totals, workers }) {
    const { history, counts, lossIn, lossOut } = totals;
    this.#drawHealth(counts);
    this.#participants.draw(count(people.length), `in ${plural(calls.length, 'call', 'calls')}`, history.of('participants'), 4);
    const packets = workers.reduce((sum, worker) => sum + worker.packets, 0);
    this.#in.draw(bitrate(history.last('in')), 'from participants', history.of('in'), 12_500);
    this.#out.draw(bitrate(history.last('out')), `${count(packets)} packets/s both ways`, history.of('out'), 12_500);
    const ways = lossIn === null ? 'nobody is here' : `${percent(lossIn)} in, ${percent(lossOut)} out`;
    this.#loss.draw(percent(history.last('loss')), ways, history.of('loss'), 0.05);
    setLevel(this.#loss.element, levelOf('loss', history.last('loss') ?? 0));
  }

  #drawHealth(counts) {
    const [fine, poor, bad] = counts;
    const { figure, note } = this.#healthFields;
    setText(figure, poor + bad ? count(poor + bad) : 'None');
    setText(note, `${poor + bad ? `${count(bad)} bad, ${count(poor)} poor, ` : ''}${count(fine)} fine`);
    setLevel(this.#health, bad ? BAD : poor ? POOR : FINE);
    for (const share of this.#shares) {
      share.hidden = counts[share.dataset.level] === 0;
      share.style.flexGrow = counts[share.dataset.level];
    }
  }
}
