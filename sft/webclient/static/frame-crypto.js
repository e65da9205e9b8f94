/** The page's end of sframe-worker.js. */

const START_LIMIT = 10000; // ms

/**
 * Events: 'source' {connection, mid, kid}, 'failure' {code, kid}; their fields are in `event.detail`.
 */
export class FrameCrypto extends EventTarget {
  #worker;
  #opened = new Map(); // connection -> resolve
  #counters = [];

  /** Whether this browser can encrypt frames at all. */
  static get supported() {
    return 'RTCRtpScriptTransform' in globalThis && 'transform' in RTCRtpSender.prototype;
  }

  /** @param {Uint8Array} baseKey @param {boolean} log keep the list of used counters (for tests) */
  constructor(baseKey, { log = false } = {}) {
    super();
    this.#worker = new Worker(new URL('./sframe-worker.js', import.meta.url), { type: 'module' });
    this.#worker.onmessage = ({ data }) => this.#take(data);
    this.#worker.postMessage({ type: 'init', baseKey, log });
  }

  #take(message) {
    if (message.type === 'opened') {
      this.#opened.get(message.connection)?.();
      this.#opened.delete(message.connection);
    } else if (message.type === 'counters') {
      this.#counters.shift()?.(message);
    } else {
      this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
    }
  }

  /** Make the key of a connection; rejects if the worker does not answer. */
  open(connection, kid) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the encryption worker does not start')), START_LIMIT);
      this.#opened.set(connection, () => {
        clearTimeout(timer);
        resolve();
      });
      this.#worker.postMessage({ type: 'open', connection, kid });
    });
  }

  close(connection) {
    this.#worker.postMessage({ type: 'close', connection });
  }

  sendTransform(connection) {
    return new RTCRtpScriptTransform(this.#worker, { role: 'send', connection });
  }

  receiveTransform(connection, mid) {
    return new RTCRtpScriptTransform(this.#worker, { role: 'receive', connection, mid });
  }

  /** Whose frames to accept from now on: those of these participants whose KID is known. */
  announce(participants) {
    const sources = participants
      .filter(({ kid }) => kid !== null)
      .map(({ kid, ssrcAudio, ssrcVideo }) => ({ kid, ssrcs: [ssrcAudio, ssrcVideo].filter(Boolean) }));
    this.#worker.postMessage({ type: 'announced', sources });
  }

  /** @returns {Promise<{counters: object, frames: Array | null}>} */
  counters() {
    return new Promise((resolve) => {
      this.#counters.push(resolve);
      this.#worker.postMessage({ type: 'counters' });
    });
  }

  terminate() {
    this.#worker.terminate();
  }
}
