/**
 * What follows from a call's name and its secret.
 *
 *     call id      first 16 bytes of SHA-256("sft call " + name), as 32 lower-case hex digits
 *     base key     HKDF-SHA256(ikm = secret, salt = "", info = "sft call " + call id), 32 bytes
 *     envelope key HKDF-SHA256(ikm = secret, salt = "", info = "sft envelope " + call id), 32 bytes
 *     code         HKDF-SHA256(ikm = secret, salt = "", info = "sft verify " + call id), 16 bytes:
 *                  four big-endian 32-bit numbers modulo 10000, in decimal with leading zeros
 *
 * Texts are UTF-8, the secret is its 16 raw bytes. The base key is the SFrame base_key of every KID
 * of the call (RFC 9605 section 4.4.2). The secret is never sent anywhere. The call id does not
 * depend on it: who comes with another secret lands in the same call, and nobody there approves them.
 */

export const SECRET_LENGTH = 16;
const ENVELOPE_LIMIT = 4096; // characters of base64 the server carries
const NAME_LIMIT = 60;
const IV_LENGTH = 12;

const utf8 = (text) => new TextEncoder().encode(text);
export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const randomHex = (length) => toHex(crypto.getRandomValues(new Uint8Array(length)));

function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** base64url without padding, as the secret stands in the address bar. */
export function formatSecret(secret) {
  return toBase64(secret).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** @returns {Uint8Array | null} null: not a secret (cut off, mistyped). */
export function parseSecret(text) {
  if (!/^[A-Za-z0-9_-]{22}$/.test(text)) return null;
  return fromBase64(`${text.replaceAll('-', '+').replaceAll('_', '/')}==`);
}

export const newSecret = () => crypto.getRandomValues(new Uint8Array(SECRET_LENGTH));

export async function callIdOf(name) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', utf8(`sft call ${name}`)));
  return toHex(digest.subarray(0, 16));
}

async function derive(secret, info, length) {
  const ikm = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(hkdf, ikm, 8 * length));
}

/** A random 64-bit KID; every RTCPeerConnection takes a new one. */
export const newKid = () => crypto.getRandomValues(new BigUint64Array(1))[0];
export const kidToHex = (kid) => kid.toString(16).padStart(16, '0');

/** All keys of one call. */
export class CallKeys {
  #envelopeKey;

  /** @param {Uint8Array} secret @param {string} callId */
  static async create(secret, callId) {
    const keys = new CallKeys();
    keys.baseKey = await derive(secret, `sft call ${callId}`, 32);
    const sealing = await derive(secret, `sft envelope ${callId}`, 32);
    keys.#envelopeKey = await crypto.subtle.importKey('raw', sealing, 'AES-GCM', false, ['encrypt', 'decrypt']);
    const digits = new DataView((await derive(secret, `sft verify ${callId}`, 16)).buffer);
    keys.code = [0, 4, 8, 12].map((at) => String(digits.getUint32(at) % 10000).padStart(4, '0')).join(' ');
    return keys;
  }

  /**
   * Seal who we are: AES-256-GCM over the JSON {name, kid, userid, connection}, additional data the
   * user id; base64 of 12 random bytes of IV, then the ciphertext. `kid` is 16 hex digits;
   * `connection` counts the connections of this page, so that an old envelope cannot be played again.
   */
  async sealEnvelope({ name, kid, userid, connection }) {
    const iv = crypto.getRandomValues(new Uint8Array(IV_LENGTH));
    const content = JSON.stringify({ name: cleanName(name), kid: kidToHex(kid), userid, connection });
    const parameters = { name: 'AES-GCM', iv, additionalData: utf8(userid) };
    const sealed = new Uint8Array(await crypto.subtle.encrypt(parameters, this.#envelopeKey, utf8(content)));
    return toBase64(Uint8Array.of(...iv, ...sealed));
  }

  /**
   * Open the envelope that came in the name of `userid`.
   * @returns {Promise<{name: string, kid: bigint, connection: number} | null>} null: sealed under
   *     another secret, altered, or it names somebody else.
   */
  async openEnvelope(envelope, userid) {
    try {
      if (envelope.length > ENVELOPE_LIMIT) return null;
      const bytes = fromBase64(envelope);
      const parameters = { name: 'AES-GCM', iv: bytes.subarray(0, IV_LENGTH), additionalData: utf8(userid) };
      const sealed = bytes.subarray(IV_LENGTH);
      const plaintext = await crypto.subtle.decrypt(parameters, this.#envelopeKey, sealed);
      const content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plaintext));
      if (content.userid !== userid || !/^[0-9a-f]{16}$/.test(content.kid)) return null;
      if (typeof content.name !== 'string' || !Number.isSafeInteger(content.connection)) return null;
      return { name: cleanName(content.name), kid: BigInt(`0x${content.kid}`), connection: content.connection };
    } catch {
      return null;
    }
  }
}

/** One line, no control or direction-changing characters, at most 60 code points; never empty. */
export function cleanName(name) {
  const line = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  return Array.from(line).slice(0, NAME_LIMIT).join('') || 'Guest';
}
