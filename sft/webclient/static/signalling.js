/** HTTP to the SFT, and what can go wrong on the way. */

const REQUEST_LIMIT = 15000; // ms
const ANSWER_LIMIT = 2000;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

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
  #icePath;

  constructor(base, callId) {
    this.#base = base;
    this.#path = `sft/${callId}`;
    this.#icePath = `ice/${callId}`;
  }

  #url(base, path = this.#path) {
    return new URL(path, `${base.replace(/\/$/, '')}/`);
  }

  /** TURN servers for whoever may join with this CONFCONN. None are no failure: there may be a direct way. */
  async iceServers(confConn) {
    try {
      const { iceServers } = await postMessage(this.#url(this.#base, this.#icePath), confConn);
      return Array.isArray(iceServers) ? iceServers : [];
    } catch {
      return [];
    }
  }

  /** Whether it can be reached now. */
  async answers() {
    try {
      const options = { mode: 'no-cors', cache: 'no-store', signal: AbortSignal.timeout(ANSWER_LIMIT) };
      await fetch(this.#url(this.#base, 'sft/status'), options);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * POST one message, give the reply. `named` is the URL by which the server called itself: it reaches the
   * same process, which the URL we came by may not where there are several. From then on it is used, if this
   * page may read its replies.
   */
  async post(message, named = this.#base) {
    if (!areSame(this.#url(named), this.#url(this.#base)) && (await isReadable(named))) this.#base = named;
    return postMessage(this.#url(this.#base), message);
  }
}

/** Asks for something that can be asked twice: a message whose reply is withheld would still have an effect. */
async function isReadable(base) {
  try {
    return (await fetch(new URL('sft/url', `${base}/`), { signal: AbortSignal.timeout(REQUEST_LIMIT) })).ok;
  } catch {
    return false;
  }
}

/** Whether two URLs lead to the same place; all names of this machine count as one. */
function areSame(one, other) {
  const plain = ({ href, hostname }) => (LOOPBACK.includes(hostname) ? href.replace(hostname, 'localhost') : href);
  return plain(one) === plain(other);
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
