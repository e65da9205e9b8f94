/**
 * The worker behind RTCRtpScriptTransform: every frame that is sent or received goes through here.
 *
 * One worker serves one client for as long as the page is in the call. Each RTCPeerConnection
 * ("connection", a number) has one KID and one sender, and thereby one SFrame counter for all it
 * sends; the receivers outlive connections, and with them the memory of what was seen. No frame leaves
 * unencrypted: as long as there is no key, and whenever encryption fails, frames are dropped.
 *
 * From the page:
 *     {type: 'init', baseKey, log}           first of all
 *     {type: 'open', connection, kid}        answered by {type: 'opened', connection}
 *     {type: 'close', connection}
 *     {type: 'announced', sources}           whom to accept: [{kid, ssrcs: [number]}], from the envelopes
 *     {type: 'counters'}                     answered by {type: 'counters', counters, frames}
 * To the page:
 *     {type: 'source', connection, mid, kid} the frames of a slot are somebody else's from now on
 *     {type: 'failure', code, kid}           at most one a second
 *
 * A received frame is handed on only if it is authentic, was not seen before, its KID was announced,
 * and that KID belongs to the participant whom the packet's CSRC names.
 */

import { SFrameError, SFrameReceiver, SFrameSender, decodeHeader } from './sframe.js';

const MAX_RECEIVERS = 1024;
const MAX_STRANGERS = 16; // KIDs that nobody announced: tried only to tell a wrong secret from a late envelope
const LOG_LIMIT = 20000;
const REPORT_EVERY = 1000; // ms

const counters = {
  encrypted: 0,
  decrypted: 0,
  droppedNoKey: 0, // before the key was there
  authFailures: 0, // wrong secret, or altered on the way
  malformed: 0,
  replays: 0,
  unannounced: 0, // authentic, but from a KID of which no envelope has told
  kidMismatch: 0, // authentic, but not from the participant whom the CSRC names
};

let baseKey = null;
let frames = null; // log of [kid, counter] used, for the tests
const senders = new Map(); // connection -> SFrameSender
const receivers = new Map(); // kid -> Promise<SFrameReceiver>, also of those who left: they might be replayed
const strangers = new Map(); // kid -> Promise<SFrameReceiver>
const announced = new Set(); // kids
const kidOfSsrc = new Map();
let lastReport = -REPORT_EVERY;

const handlers = {
  init(message) {
    baseKey = message.baseKey;
    frames = message.log ? [] : null;
  },

  async open({ connection, kid }) {
    senders.set(connection, await SFrameSender.create(baseKey, kid));
    postMessage({ type: 'opened', connection });
  },

  close({ connection }) {
    senders.delete(connection);
  },

  announced({ sources }) {
    announced.clear();
    kidOfSsrc.clear();
    for (const { kid, ssrcs } of sources) {
      announced.add(kid);
      for (const ssrc of ssrcs) kidOfSsrc.set(ssrc, kid);
      if (receivers.has(kid)) continue;
      receivers.set(kid, strangers.get(kid) ?? SFrameReceiver.create(baseKey, kid));
      strangers.delete(kid);
    }
    for (const kid of receivers.keys()) {
      if (receivers.size <= MAX_RECEIVERS) break;
      if (!announced.has(kid)) receivers.delete(kid);
    }
  },

  counters() {
    postMessage({ type: 'counters', counters, frames });
  },
};

self.onmessage = ({ data }) => handlers[data.type](data);

self.onrtctransform = ({ transformer }) => {
  const { role, connection, mid } = transformer.options;
  const transform = role === 'send' ? encryptFrames(connection) : decryptFrames(connection, mid);
  transformer.readable.pipeThrough(new TransformStream({ transform })).pipeTo(transformer.writable);
};

function encryptFrames(connection) {
  return async (frame, controller) => {
    const sender = senders.get(connection);
    if (!sender) {
      counters.droppedNoKey++;
      return;
    }
    const sealed = await sender.encrypt(new Uint8Array(frame.data));
    counters.encrypted++;
    if (frames && frames.length < LOG_LIMIT) {
      const { kid, counter } = decodeHeader(sealed);
      frames.push([kid, counter]);
    }
    frame.data = sealed.buffer;
    controller.enqueue(frame);
  };
}

/** A transform with its own memory of whose frames came last in this slot. */
function decryptFrames(connection, mid) {
  let current = null;
  return async (frame, controller) => {
    const data = new Uint8Array(frame.data);
    if (!baseKey || data.length === 0) {
      counters.droppedNoKey++;
      return;
    }
    let kid = null;
    try {
      kid = decodeHeader(data).kid;
      const plaintext = await (await receiverFor(kid)).decrypt(data);
      if (!announced.has(kid)) {
        counters.unannounced++;
        return;
      }
      const named = frame.getMetadata().contributingSources ?? [];
      if (named.some((ssrc) => kidOfSsrc.has(ssrc) && kidOfSsrc.get(ssrc) !== kid)) {
        counters.kidMismatch++;
        report('kid-mismatch', kid);
        return;
      }
      counters.decrypted++;
      if (kid !== current) {
        current = kid;
        postMessage({ type: 'source', connection, mid, kid });
      }
      frame.data = plaintext.buffer;
      controller.enqueue(frame);
    } catch (error) {
      if (!(error instanceof SFrameError)) throw error;
      countFailure(error.code);
      report(error.code, kid);
    }
  };
}

function receiverFor(kid) {
  const known = receivers.get(kid) ?? strangers.get(kid);
  if (known) return known;
  if (strangers.size >= MAX_STRANGERS) strangers.delete(strangers.keys().next().value);
  const receiver = SFrameReceiver.create(baseKey, kid);
  strangers.set(kid, receiver);
  return receiver;
}

function countFailure(code) {
  if (code === 'authentication') counters.authFailures++;
  else if (code === 'replay') counters.replays++;
  else counters.malformed++;
}

function report(code, kid) {
  const now = performance.now();
  if (now - lastReport < REPORT_EVERY) return;
  lastReport = now;
  postMessage({ type: 'failure', code, kid });
}
