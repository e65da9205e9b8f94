/**
 * How long what is received is held back before it is played, so that a packet that was lost can be repeated
 * in time.
 *
 * A browser knows how far it is to the server, but not from the server to the sender, and lets no sound wait
 * for repeats. So here: as often as something of a participant came too late, all that comes from it is held
 * back longer, sound and picture alike, which keeps them together; while all is well, slowly less.
 */

const LOOK_EVERY = 1000; // ms
const LEAST = 100; // ms; where holding back begins, and below which it ends
const MOST = 700;
const STEP = 60;
const GROWTH = 1.5; // or by STEP, if that is more
const CALM = 30; // looks without anything late, after which less is held back
const DECAY = 0.99; // per look

/** The next target in ms, 0 for the browser's own choice: `calm` is how many looks ago something was late. */
export function nextTarget(target, calm) {
  if (calm === 0) return Math.min(MOST, Math.max(LEAST, target + STEP, Math.round(target * GROWTH)));
  if (calm < CALM) return target;
  return target * DECAY < LEAST ? 0 : target * DECAY;
}

/**
 * Whether between two looks at one stream something came too late to be played in its time. What was never
 * repeated was not late: waiting would not have helped.
 */
export function wasLate(before, now) {
  const more = (key) => (now[key] ?? 0) > (before[key] ?? 0);
  return now.kind === 'audio' ? more('packetsDiscarded') : more('freezeCount') && more('nackCount');
}

export class Playout {
  #pc;
  #slots;
  #timer = null;
  #before = new Map(); // SSRC -> statistics at the last look
  #targets = new Map(); // KID -> {target, calm}

  /** @param {() => Array<{mid, receiver, kid}>} slots */
  constructor(pc, slots) {
    this.#pc = pc;
    this.#slots = slots;
    if ('jitterBufferTarget' in RTCRtpReceiver.prototype) {
      this.#timer = setInterval(() => this.#look(), LOOK_EVERY);
    }
  }

  /** ms by which this participant's media is held back on purpose. */
  targetOf(kid) {
    return this.#targets.get(kid)?.target ?? 0;
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #look() {
    const report = await this.#pc.getStats();
    const streams = [...report.values()].filter(({ type }) => type === 'inbound-rtp');
    const late = new Set();
    for (const stream of streams) {
      const { kid } = this.#slots().find(({ mid }) => mid === stream.mid) ?? {};
      const before = this.#before.get(stream.ssrc);
      if (kid != null && before && wasLate(before, stream)) late.add(kid);
    }
    this.#before = new Map(streams.map((stream) => [stream.ssrc, stream]));
    this.#retarget(late);
  }

  #retarget(late) {
    for (const kid of late) if (!this.#targets.has(kid)) this.#targets.set(kid, { target: 0, calm: 0 });
    for (const [kid, state] of this.#targets) {
      state.calm = late.has(kid) ? 0 : state.calm + 1;
      state.target = nextTarget(state.target, state.calm);
      if (!state.target) this.#targets.delete(kid);
    }
    for (const { receiver, kid } of this.#slots()) receiver.jitterBufferTarget = this.targetOf(kid) || null;
  }
}
