const PING_EVERY = 5000; // ms; protocol section 8.4
const PINGS_TO_MISS = 4;

/** Pings the server, and notices when it does not answer. */
export class KeepAlive {
  #timer = null;
  #unanswered = 0;

  /** @param {() => void} ping sends one @param {() => void} onsilent the server has gone silent; once */
  start(ping, onsilent) {
    this.stop();
    this.#unanswered = 0;
    this.#timer = setInterval(() => {
      if (this.#unanswered >= PINGS_TO_MISS) {
        this.stop();
        return onsilent();
      }
      this.#unanswered++;
      ping();
    }, PING_EVERY);
  }

  answered() {
    this.#unanswered = 0;
  }

  stop() {
    clearInterval(this.#timer);
  }
}
