/**
 * SFrame (RFC 9605): whole media frames, encrypted end to end.
 *
 * Pure: runs in a page, a worker and node; needs nothing but WebCrypto (`crypto.subtle`).
 * KIDs and counters are BigInts of at most 64 bits. The cipher suites are the two AES-GCM ones with
 * full tags; this client uses AES_128_GCM_SHA256_128.
 *
 *     const sender = await SFrameSender.create(baseKey, kid);
 *     const frame = await sender.encrypt(plaintext);
 *     const receiver = await SFrameReceiver.create(baseKey, decodeHeader(frame).kid);
 *     const plaintext = await receiver.decrypt(frame);      // SFrameError: 'replay' or 'authentication'
 */

/** The cipher suites (RFC 9605 section 4.5). Lengths in bytes; the nonce has 12, the tag 16. */
export const AES_128_GCM_SHA256_128 = Object.freeze({ id: 4, keyLength: 16, hash: 'SHA-256' });
export const AES_256_GCM_SHA512_128 = Object.freeze({ id: 5, keyLength: 32, hash: 'SHA-512' });

const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;

/** Longest header: config byte, 8 bytes of KID, 8 bytes of counter. */
export const MAX_OVERHEAD = 17 + TAG_LENGTH;

/** How far behind the newest frame of a KID another one may arrive; see ReplayWindow. */
export const WINDOW = 1024;

/** `code` is 'malformed', 'replay', 'authentication' or 'exhausted'. */
export class SFrameError extends Error {
  constructor(code, detail = '') {
    super(detail ? `${code}: ${detail}` : code);
    this.name = 'SFrameError';
    this.code = code;
  }
}

/** Shortest big-endian form of a BigInt; one zero byte for zero. */
function minimalBytes(value) {
  const digits = value.toString(16);
  const padded = digits.length % 2 ? `0${digits}` : digits;
  return Uint8Array.from(padded.match(/../g), (pair) => parseInt(pair, 16));
}

function bigEndian(bytes) {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/** The header of RFC 9605 section 4.3: X KID(3) Y CTR(3), then the long forms of KID and counter. */
export function encodeHeader(kid, counter) {
  const field = (value) => {
    if (value < 8n) return { bits: Number(value), bytes: [] };
    const bytes = minimalBytes(value);
    return { bits: 8 | (bytes.length - 1), bytes };
  };
  const k = field(kid);
  const c = field(counter);
  return Uint8Array.of((k.bits << 4) | c.bits, ...k.bytes, ...c.bytes);
}

/** @returns {{kid: bigint, counter: bigint, length: number}} `length`: bytes the header takes. */
export function decodeHeader(frame) {
  if (frame.length === 0) throw new SFrameError('malformed', 'empty frame');
  let length = 1;
  const field = (bits) => {
    if (!(bits & 8)) return BigInt(bits);
    const bytes = frame.subarray(length, length + (bits & 7) + 1);
    length += (bits & 7) + 1;
    return bigEndian(bytes);
  };
  const kid = field(frame[0] >> 4);
  const counter = field(frame[0] & 15);
  if (length > frame.length) throw new SFrameError('malformed', 'header cut short');
  return { kid, counter, length };
}

/**
 * Key and salt of one KID (RFC 9605 section 4.4.2).
 *
 * @param {Uint8Array} baseKey
 * @returns {Promise<{key: Uint8Array, salt: Uint8Array}>}
 */
export async function deriveKeyAndSalt(baseKey, kid, suite = AES_128_GCM_SHA256_128) {
  const ikm = await crypto.subtle.importKey('raw', baseKey, 'HKDF', false, ['deriveBits']);
  const expand = async (use, length) => {
    const label = new TextEncoder().encode(`SFrame 1.0 Secret ${use} `);
    const info = new Uint8Array(label.length + 10);
    info.set(label);
    new DataView(info.buffer).setBigUint64(label.length, kid);
    new DataView(info.buffer).setUint16(label.length + 8, suite.id);
    const hkdf = { name: 'HKDF', hash: suite.hash, salt: new Uint8Array(0), info };
    return new Uint8Array(await crypto.subtle.deriveBits(hkdf, ikm, 8 * length));
  };
  return { key: await expand('key', suite.keyLength), salt: await expand('salt', NONCE_LENGTH) };
}

/** AES-GCM under one KID: what sender and receiver share. */
class KeyContext {
  static async create(baseKey, kid, suite, usage) {
    const { key, salt } = await deriveKeyAndSalt(baseKey, kid, suite);
    const context = new this();
    context.kid = kid;
    context.salt = salt;
    context.key = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, [usage]);
    return context;
  }

  /** Section 4.4.3: the nonce is the salt XOR the counter; the header is authenticated too. */
  parameters(counter, header, metadata) {
    const iv = this.salt.slice();
    const view = new DataView(iv.buffer);
    view.setBigUint64(NONCE_LENGTH - 8, view.getBigUint64(NONCE_LENGTH - 8) ^ counter);
    const additionalData = new Uint8Array(header.length + metadata.length);
    additionalData.set(header);
    additionalData.set(metadata, header.length);
    return { name: 'AES-GCM', iv, additionalData, tagLength: 8 * TAG_LENGTH };
  }
}

const NO_METADATA = new Uint8Array(0);

/**
 * Encrypts under one KID. The counter is shared by everything that is sent under it and never goes
 * back: one KID must never have two senders.
 */
export class SFrameSender extends KeyContext {
  #next = 0n;

  /** @returns {Promise<SFrameSender>} */
  static create(baseKey, kid, suite = AES_128_GCM_SHA256_128) {
    return super.create(baseKey, kid, suite, 'encrypt');
  }

  /** The counter the next frame will carry. */
  get next() {
    return this.#next;
  }

  /** Takes the counter before the first await, so concurrent calls never share one. */
  async encrypt(plaintext, metadata = NO_METADATA) {
    const counter = this.#next;
    if (counter >> 64n) throw new SFrameError('exhausted');
    this.#next = counter + 1n;
    return this.encryptAt(counter, plaintext, metadata);
  }

  /** For test vectors. Never use a counter twice. */
  async encryptAt(counter, plaintext, metadata = NO_METADATA) {
    const header = encodeHeader(this.kid, counter);
    const parameters = this.parameters(counter, header, metadata);
    const sealed = new Uint8Array(await crypto.subtle.encrypt(parameters, this.key, plaintext));
    const frame = new Uint8Array(header.length + sealed.length);
    frame.set(header);
    frame.set(sealed, header.length);
    return frame;
  }
}

/** Decrypts under one KID; refuses what it has seen before (RFC 9605 section 9.3). */
export class SFrameReceiver extends KeyContext {
  #window = new ReplayWindow();

  /** @returns {Promise<SFrameReceiver>} */
  static create(baseKey, kid, suite = AES_128_GCM_SHA256_128) {
    return super.create(baseKey, kid, suite, 'decrypt');
  }

  async decrypt(frame, metadata = NO_METADATA) {
    const { counter, length } = decodeHeader(frame);
    if (!this.#window.isNew(counter)) throw new SFrameError('replay');
    const header = frame.subarray(0, length);
    const parameters = this.parameters(counter, header, metadata);
    let plaintext;
    try {
      plaintext = await crypto.subtle.decrypt(parameters, this.key, frame.subarray(length));
    } catch {
      throw new SFrameError('authentication');
    }
    // Only an authentic frame may move the window; and its twin may have come while we waited.
    if (!this.#window.accept(counter)) throw new SFrameError('replay');
    return new Uint8Array(plaintext);
  }
}

/**
 * Which of the last `WINDOW` counters were seen. One window serves audio, video and simulcast layers
 * together, since they share the counter: at 25 + 30 + 30 frames a second it spans 12 seconds.
 */
export class ReplayWindow {
  #highest = -1n;
  #seen = new Set();

  /** Not seen, and not too old to tell. */
  isNew(counter) {
    return counter > this.#highest - BigInt(WINDOW) && !this.#seen.has(counter);
  }

  /** Note a counter; false if it was not new. */
  accept(counter) {
    if (!this.isNew(counter)) return false;
    this.#seen.add(counter);
    if (counter > this.#highest) this.#highest = counter;
    if (this.#seen.size > 2 * WINDOW) {
      for (const old of this.#seen) if (old <= this.#highest - BigInt(WINDOW)) this.#seen.delete(old);
    }
    return true;
  }
}
