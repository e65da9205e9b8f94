/**
 * One RTCPeerConnection with the server, from its offer to its end.
 *
 * The server's offer has the m-lines `audio` and `video` for what we send, `data`, then the slots: send-only
 * audio, then send-only video. Nothing is trickled.
 */

import { Playout } from './playout.js';
import { SftError } from './signalling.js';

const CONNECT_LIMIT = 15000; // ms from CONFCONN to the open data channel
const GATHERING_LIMIT = 2000; // ms
const OUTAGE_SHOWN = 1500; // ms of `disconnected` until the user is told, and until the server is asked;
const OUTAGE = 4000; // the browser takes much longer to call it failed
const OUTAGE_LOOK = 1000; // ms between two looks whether the server answers
const OUTAGE_GRACE = 3000; // ms that media may take to come back when the server answers
const LAYERS = {
  l: { scaleResolutionDownBy: 2, maxBitrate: 250_000 },
  h: { scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
};

/**
 * Events: 'open' (the data channel), 'message' (detail: the parsed JSON object; not before start()),
 * 'interruption' (`isInterrupted` changed), 'lost' (detail: why; once, also when it never opened). None after
 * close().
 */
export class Connection extends EventTarget {
  #pc;
  #crypto;
  #channel = null;
  #audio = null; // transceivers of what we send
  #video = null;
  #held = []; // messages that came before start()
  #outages = 0;
  #server = null;
  #playout;
  #over = false;

  /** Nothing comes from the server, which may end by itself. */
  isInterrupted = false;

  /** Slots in the order of the offer: {mid, receiver, track, kid}; kid: whose frames came last, or null. */
  audioSlots = [];
  videoSlots = [];

  /** @param {number} number counts this page's connections @param {bigint} kid @param {FrameCrypto} crypto */
  constructor(number, kid, crypto, iceServers) {
    super();
    this.number = number;
    this.kid = kid;
    this.#crypto = crypto;
    this.#pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require', iceServers });
    this.#pc.ondatachannel = ({ channel }) => this.#useChannel(channel);
    this.#pc.onconnectionstatechange = () => {
      const { connectionState } = this.#pc;
      const outage = ++this.#outages;
      if (connectionState === 'failed') this.#lose('network');
      else if (connectionState === 'disconnected') this.#outlast(() => !this.#over && outage === this.#outages);
      else this.#setInterrupted(false);
    };
    this.#playout = new Playout(this.#pc, () => [...this.audioSlots, ...this.videoSlots]);
  }

  /** Whether the offer and answer let us send. */
  get sendsAudio() {
    return this.#audio?.currentDirection === 'sendrecv';
  }

  get sendsVideo() {
    return this.#video?.currentDirection === 'sendrecv';
  }

  get isOpen() {
    return this.#channel?.readyState === 'open';
  }

  /** From CONFCONN (`request`) to the open data channel. Rejects with SftError. */
  async establish(server, messages, request, media) {
    this.#server = server;
    const opened = this.#until('open', CONNECT_LIMIT);
    const offer = await server.post(request);
    if (offer.type === 'CONFCONN') throw SftError.refused(offer.status);
    if (typeof offer.sdp !== 'string') throw new SftError('protocol', offer.type);
    const sdp = await this.answer(offer.sdp, media);
    await server.post(messages.answer(offer.type, sdp, media.props), offer.url);
    await opened;
  }

  /**
   * Take the server's offer, and give the answer with all candidates in it. The transforms are in place
   * before any track is, so no frame can leave unencrypted.
   */
  async answer(offer, { audioTrack, videoTrack }) {
    await this.#crypto.open(this.number, this.kid);
    await this.#pc.setRemoteDescription({ type: 'offer', sdp: offer });
    const transceivers = this.#pc.getTransceivers();
    this.#audio = transceivers.find(({ mid }) => mid === 'audio');
    this.#video = transceivers.find(({ mid }) => mid === 'video');
    for (const transceiver of transceivers) {
      const { mid, receiver } = transceiver;
      receiver.transform = this.#crypto.receiveTransform(this.number, mid);
      if (transceiver === this.#audio || transceiver === this.#video) {
        transceiver.sender.transform = this.#crypto.sendTransform(this.number);
      } else {
        const slots = receiver.track.kind === 'audio' ? this.audioSlots : this.videoSlots;
        slots.push({ mid, receiver, track: receiver.track, kid: null });
      }
    }
    await this.#attach(this.#audio, audioTrack);
    await this.#attach(this.#video, videoTrack);
    await this.#setLayers();
    await this.#pc.setLocalDescription();
    await this.#gathered();
    return this.#pc.localDescription.sdp;
  }

  async #attach(transceiver, track) {
    if (!transceiver || !track) return;
    transceiver.direction = 'sendrecv';
    await transceiver.sender.replaceTrack(track);
  }

  async #setLayers() {
    if (!this.#video) return;
    const parameters = this.#video.sender.getParameters();
    for (const encoding of parameters.encodings) Object.assign(encoding, LAYERS[encoding.rid] ?? {});
    await this.#video.sender.setParameters(parameters);
  }

  #gathered() {
    return new Promise((resolve) => {
      if (this.#pc.iceGatheringState === 'complete') return resolve();
      const timer = setTimeout(resolve, GATHERING_LIMIT);
      this.#pc.addEventListener('icegatheringstatechange', () => {
        if (this.#pc.iceGatheringState !== 'complete') return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #useChannel(channel) {
    if (this.#channel) return; // the first one announced counts
    this.#channel = channel;
    channel.onopen = () => this.dispatchEvent(new Event('open')); // comes after 'datachannel', whatever readyState says
    channel.onclose = () => this.#lose('closed');
    channel.onmessage = ({ data }) => {
      if (this.#held) this.#held.push(data);
      else this.#deliver(data);
    };
  }

  #deliver(data) {
    if (this.#over) return;
    try {
      this.dispatchEvent(new CustomEvent('message', { detail: JSON.parse(data) }));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }

  /** Have messages delivered from now on, also those that have come already. */
  start() {
    const held = this.#held ?? [];
    this.#held = null;
    held.forEach((data) => this.#deliver(data));
  }

  /**
   * If the network is cut, nothing is lost yet: when it is back, media is. But if the server answers requests
   * and media stays away, it has lost us, or the way of media is closed, and only a new connection helps.
   */
  async #outlast(lasts) {
    await pause(OUTAGE_SHOWN);
    if (lasts()) this.#setInterrupted(true);
    await pause(OUTAGE - OUTAGE_SHOWN);
    while (lasts()) {
      if (!(await this.#server.answers())) await pause(OUTAGE_LOOK);
      else {
        await pause(OUTAGE_GRACE);
        if (lasts()) this.#lose('network');
      }
    }
  }

  #setInterrupted(isInterrupted) {
    if (this.#over || this.isInterrupted === isInterrupted) return;
    this.isInterrupted = isInterrupted;
    this.dispatchEvent(new Event('interruption'));
  }

  #lose(why) {
    if (this.#over) return;
    this.close();
    this.dispatchEvent(new CustomEvent('lost', { detail: why }));
  }

  /** Resolves with the first message of a type; rejects when that becomes impossible or takes too long (ms). */
  messageOf(type, limit) {
    return this.#until('message', limit, ({ detail }) => detail.type === type);
  }

  #until(event, limit, isIt = () => true) {
    const promise = new Promise((resolve, reject) => {
      const fail = () => reject(new SftError('media-unreachable'));
      this.addEventListener(event, (happened) => isIt(happened) && resolve(happened));
      this.addEventListener('lost', fail);
      setTimeout(fail, this.#over ? 0 : limit);
    });
    promise.catch(() => {}); // it may fail before somebody waits for it
    return promise;
  }

  /** Send a message if the channel is open. */
  send(message) {
    if (this.isOpen) this.#channel.send(JSON.stringify(message));
  }

  replaceAudioTrack(track) {
    return this.#audio.sender.replaceTrack(track);
  }

  replaceVideoTrack(track) {
    return this.#video.sender.replaceTrack(track);
  }

  /** The track of the slot whose newest frames came under this KID, or null. */
  audioTrackOf(kid) {
    return this.audioSlots.find((slot) => slot.kid === kid)?.track ?? null;
  }

  /** Note whose frames a slot carries now. */
  setSource(mid, kid) {
    const slot = [...this.audioSlots, ...this.videoSlots].find((one) => one.mid === mid);
    if (slot) slot.kid = kid;
  }

  /** How loud each CSRC of the audio slots was in the last half second: Map of SSRC to 0..1. */
  levels() {
    const levels = new Map();
    const recent = performance.timeOrigin + performance.now() - 500;
    for (const { receiver } of this.audioSlots) {
      for (const { source, audioLevel, timestamp } of receiver.getContributingSources()) {
        if (timestamp >= recent) levels.set(source, audioLevel ?? 0);
      }
    }
    return levels;
  }

  /** ms by which media under this KID is held back so that repeats come in time. */
  heldBack(kid) {
    return this.#playout.targetOf(kid);
  }

  getStats() {
    return this.#pc.getStats();
  }

  close() {
    if (this.#over) return;
    this.#over = true;
    this.#playout.stop();
    this.#pc.close();
    this.#crypto.close(this.number);
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
