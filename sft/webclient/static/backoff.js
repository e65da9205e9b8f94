/** Growing pauses between attempts; a pause can be cut short. */
export class Backoff {
  #pauses;
  #attempt = 0;
  #wake = null;

  /** @param {number[]} pauses ms before each attempt; the last one repeats */
  constructor(pauses) {
    this.#pauses = pauses;
  }

  reset() {
    this.#attempt = 0;
  }

  /** Wait for the next attempt's turn. */
  pause() {
    const milliseconds = this.#pauses[Math.min(this.#attempt++, this.#pauses.length - 1)];
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  /** End the pause under way. */
  wake() {
    this.#wake?.();
  }
}
