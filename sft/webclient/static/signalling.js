/** HTTP to the SFT, and what can go wrong on the way. */

const REQUEST_LIMIT = 15000; // ms

const REFUSALS = {
  1: 'outdated',
  2: 'login-invalid',
  3: 'login-expired',
  4: 'full',
  5: 'may-not-start',
};

/**
 * `code`: unreachable (no HTTP answer), http (an answer, but an error), protocol (an answer that makes no
 * sense), media-unreachable (HTTP works, the media path does not), left (closed meanwhile), or a refusal:
 * outdated, login-invalid, login-expired, full, may-not-start, refused.
 */
export class SftError extends Error {
  constructor(code, detail = '') {
    super(detail ? `${code}: ${detail}` : code);
    this.name = 'SftError';
    this.code = code;
    this.isFinal = code === 'left';
  }

  /** From the `status` of a CONFCONN. */
  static refused(status) {
    const error = new SftError(REFUSALS[status] ?? 'refused', `status ${status}`);
    error.isFinal = true; // trying again would not help
    return error;
  }
}

/** Where the requests of one call go. */
export class Server {
  #base;
  #path;

  constructor(base, callId) {
    this.#base = base;
    this.#path = `sft/${callId}`;
  }

  #url(base) {
    return new URL(this.#path, `${base.replace(/\/$/, '')}/`);
  }

  /**
   * POST one message, give the reply. `named` is the URL by which the server called itself: it reaches the
   * same process, which the URL we came by may not where there are several; it is tried first, and then kept.
   */
  async post(message, named = this.#base) {
    if (this.#url(named).href !== this.#url(this.#base).href) {
      try {
        const reply = await postMessage(this.#url(named), message);
        this.#base = named;
        return reply;
      } catch (error) {
        if (error.code !== 'unreachable') throw error;
      }
    }
    return postMessage(this.#url(this.#base), message);
  }
}

/** An empty or foreign reply counts as `{}`: some replies are of no interest. */
async function postMessage(url, message) {
  let response;
  let text;
  try {
    // A string body is a "simple" request: no preflight when the page was served elsewhere.
    response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(message),
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.timeout(REQUEST_LIMIT),
    });
    text = await response.text();
  } catch (error) {
    throw new SftError('unreachable', error.message);
  }
  if (!response.ok) throw new SftError('http', `status ${response.status}`);
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
