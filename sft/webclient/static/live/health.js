/** What is fine, poor and bad; the only place with thresholds. */

export const FINE = 0;
export const POOR = 1;
export const BAD = 2;

/** From which value on something is poor, and bad. Seconds and shares. */
const LIMITS = {
  loss: [0.02, 0.05],
  trip: [0.3, 0.6], // to the server: there and back; a listener has the half of two such
  jitter: [0.05, 0.15],
  silent: [5, 10], // of the 15 after which the server gives up
  joining: [10, 20],
  cpu: [0.7, 0.9],
  lag: [0.02, 0.1],
  ports: [0.9, 1], // used
};

export function levelOf(what, value) {
  const [poor, bad] = LIMITS[what];
  return value >= bad ? BAD : value >= poor ? POOR : FINE;
}

const percent = (share) => `${Math.round(share * 100)} %`;
const milliseconds = (seconds) => `${Math.round(seconds * 1000)} ms`;

const CAUSES = { remb: 'by its own estimate', loss: 'as packets are lost', delay: 'as packets queue' };

/** What of the wanted video somebody does not get, in words; empty: nothing. */
export function limitText({ by, reduced, paused }) {
  if (!by) return '';
  const parts = [reduced ? `${reduced} smaller` : '', paused ? `${paused} paused` : ''].filter(Boolean);
  return `${parts.join(', ') || 'less video'} ${CAUSES[by] ?? by}`;
}

/** A participant's level, the worst that is wrong in words, and all that is. */
export function assess(one) {
  if (!one.connected) {
    const note = `joining for ${one.age} s`;
    return { level: levelOf('joining', one.age), note, all: note };
  }
  const found = [
    [one.limited.by ? POOR : FINE, limitText(one.limited)],
    [levelOf('silent', one.silent), `silent for ${Math.round(one.silent)} s`],
    [levelOf('loss', one.up.loss), `${percent(one.up.loss)} lost from it`],
    [levelOf('loss', one.down.loss), `${percent(one.down.loss)} lost to it`],
    [levelOf('trip', one.trip), `far away: ${milliseconds(one.trip)}`],
    [levelOf('jitter', one.up.jitter), `uneven from it: ${milliseconds(one.up.jitter)}`],
    [levelOf('jitter', one.down.jitter), `uneven to it: ${milliseconds(one.down.jitter)}`],
  ];
  const wrong = found.filter(([level]) => level > FINE).sort(([one], [other]) => other - one);
  const [level, note] = wrong[0] ?? [FINE, ''];
  return { level, note, all: wrong.map(([, words]) => words).join('; ') };
}

const HEALING = 10_000; // ms

/** What is told of somebody: trouble at once, its end only when it has lasted, so that nothing flickers. */
export class Steady {
  level = FINE;
  note = '';
  all = '';
  past = false; // the note is of a while ago
  #since = 0;

  /** @param {{level, note, all}} found @param {number} now ms */
  take(found, now) {
    this.past = found.level < this.level && now - this.#since <= HEALING;
    if (this.past) return;
    this.level = found.level;
    this.note = found.note;
    this.all = found.all;
    this.#since = now;
  }
}
