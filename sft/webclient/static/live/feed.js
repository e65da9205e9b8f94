/** Asks the server for its state, again and again, and tells when there is none. */

const PERIOD = 1000; // ms between two questions
const PATIENCE = 4000; // ms an answer may take

export class Feed {
  #url;
  #ontake;
  #onsilence;
  #newest = 0; // the newest snapshot's time, by the server's clock
  #freshAt = performance.now();
  #period = 1;

  /**
   * @param {string} url
   * @param {(state: object) => void} ontake a state with new numbers came
   * @param {(why: 'unreachable' | 'stuck' | 'strange', seconds: number) => void} onsilence none came, for so long;
   *   strange: what came cannot be shown
   */
  constructor(url, ontake, onsilence) {
    this.#url = url;
    this.#ontake = ontake;
    this.#onsilence = onsilence;
  }

  /** Never ends. Rests while nobody looks. */
  async run() {
    for (;;) {
      if (document.hidden) {
        await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
        this.#freshAt = performance.now();
      }
      const next = performance.now() + PERIOD;
      const state = await this.#ask();
      try {
        if (state) this.#take(state);
        else this.#onsilence('unreachable', this.#silence());
      } catch (error) { // a server of another version, while the page stood open
        console.error(error);
        this.#onsilence('strange', this.#silence());
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(100, next - performance.now())));
    }
  }

  async #ask() {
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(PATIENCE), cache: 'no-store' });
      return response.ok ? await response.json() : null;
    } catch {
      return null; // no connection, no answer in time, or half of one
    }
  }

  #take(state) {
    this.#period = state.period;
    const newest = Math.max(0, ...state.workers.map(({ time }) => time));
    if (newest !== this.#newest || !newest) {
      this.#ontake(state);
      this.#newest = newest;
      this.#freshAt = performance.now();
    } else if (this.#silence() > this.#period + 4) {
      this.#onsilence('stuck', this.#silence());
    }
  }

  #silence() {
    return (performance.now() - this.#freshAt) / 1000;
  }
}
