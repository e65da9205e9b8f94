/**
 * A client of the SFT, without any user interface: end-to-end encrypted calls from a browser.
 *
 *     import { SftClient } from './sft-client.js';
 *
 *     const client = await SftClient.create({ server, callName: 'tea', secret, name: 'Ann' });
 *     client.addEventListener('roster', () => draw(client.participants));
 *     client.addEventListener('slots', () => attach(client.audioTracks, (id) => client.videoTrackOf(id)));
 *     await client.setAudioTrack(microphone);
 *     await client.join();                       // SftError with a code if that fails
 *     client.requestVideo([{ userid, quality: QUALITY.high }]);
 *     await client.leave();
 *
 * Events (all of class Event; look at the client's properties for what has changed):
 *     'state'   `state`: idle, connecting, connected, reconnecting, closing, closed; `error` says why it closed;
 *               or `isInterrupted` has changed
 *     'roster'  `participants` changed: see Participant in roster.js
 *     'slots'   `audioTracks` or some `videoTrackOf(userid)` changed
 *     'failure' frames that cannot be decrypted keep coming; detail: {code, kid}; at most one a second
 *
 * Protocol: two HTTP requests (CONFCONN and the SDP answer), then JSON messages on the data channel that
 * the server opens. Names and KIDs travel in sealed envelopes (secrets.js), frames are SFrame (sframe.js).
 */

import { Backoff } from './backoff.js';
import { Connection } from './connection.js';
import { FrameCrypto } from './frame-crypto.js';
import { KeepAlive } from './keep-alive.js';
import { LocalMedia } from './local-media.js';
import { Messages } from './messages.js';
import { Roster } from './roster.js';
import { CallKeys, callIdOf, newKid, randomHex } from './secrets.js';
import { Server, SftError } from './signalling.js';
import { VideoRequests } from './streams.js';

export { SftError } from './signalling.js';

export const VERSION = '0.1.0';
export const QUALITY = Object.freeze({ any: 0, low: 1, high: 2 });

const ROSTER_LIMIT = 10000; // ms from the open data channel to the first CONFPART
const HANGUP_LIMIT = 1000;

export class SftClient extends EventTarget {
  #options;
  #keys;
  #crypto;
  #messages;
  #server;
  #roster;
  #connection = null;
  #connections = 0;
  #round = null; // promise of the exchange that is under way
  #media = new LocalMedia();
  #video = new VideoRequests();
  #keepAlive = new KeepAlive();
  #backoff = new Backoff([0, 1000, 2000, 4000, 8000]);

  state = 'idle';
  error = null;

  /**
   * @param {object} options
   * @param {string} options.server base URL of the SFT
   * @param {string} options.callName
   * @param {Uint8Array} options.secret 16 bytes, the same for all in the call
   * @param {string} options.name what the others are shown
   * @param {(participant: Participant) => boolean} [options.approve] whom to let hear and see us, and to
   *     hear and see; by default those who hold our secret
   * @param {number} [options.videoStreams] how many videos to be offered at a time, 0 to 32
   * @param {RTCIceServer[]} [options.iceServers]
   * @param {boolean} [options.turn] ask the server for more of them
   * @param {string} [options.username] and credential: if the server asks for them
   * @param {boolean} [options.logFrames] keep the list of used KIDs and counters (for tests)
   */
  static async create(options) {
    const client = new SftClient();
    client.callId = await callIdOf(options.callName);
    client.#options = {
      approve: (participant) => participant.sealed === 'open',
      videoStreams: 9,
      iceServers: [],
      ...options,
    };
    client.userid = randomHex(16);
    client.#server = new Server(options.server, client.callId);
    client.#messages = new Messages(client.callId, client.userid);
    client.#keys = await CallKeys.create(options.secret, client.callId);
    client.#roster = new Roster(client.userid);
    client.#crypto = new FrameCrypto(client.#keys.baseKey, { log: options.logFrames });
    client.#crypto.addEventListener('source', ({ detail }) => client.#sourceChanged(detail));
    client.#crypto.addEventListener('failure', ({ detail }) => client.#emit('failure', detail));
    return client;
  }

  // What is known ------------------------------------------------------------------------------------

  /** Whether we have left or failed, or are about to. */
  get isOver() {
    return this.state === 'closing' || this.state === 'closed';
  }

  /** The same for all who hold the secret: four groups of four digits. */
  get verificationCode() {
    return this.#keys.code;
  }

  /** Everybody in the call, oneself among them, in the order of their joining. */
  get participants() {
    return this.#roster.all;
  }

  /** Connected, but nothing comes: the network may be cut, and a moment later not. */
  get isInterrupted() {
    return this.state === 'connected' && Boolean(this.#connection?.isInterrupted);
  }

  /** What we say of ourselves: `muted`, `videosend`, `screensend`, as texts. */
  get announced() {
    return { ...this.#media.props };
  }

  /** Whether we let this participant hear and see us. */
  approves(participant) {
    return !participant.isSelf && Boolean(this.#options.approve(participant));
  }

  /** The KID of the current connection, a BigInt; null without one. */
  get kid() {
    return this.#connection?.kid ?? null;
  }

  /** Tracks of all audio slots. Play them all: who is heard in which changes from moment to moment. */
  get audioTracks() {
    return this.#connection?.audioSlots.map(({ track }) => track) ?? [];
  }

  /** The track of the video slot that carries this participant's frames now, or null. */
  videoTrackOf(userid) {
    const slot = this.#connection?.videoSlots[this.#video.slotOf(userid)];
    const { kid } = this.#roster.get(userid) ?? {};
    return slot && kid != null && slot.kid === kid ? slot.track : null;
  }

  /** The track of the audio slot that carried this participant's newest frames, or null. */
  audioTrackOf(userid) {
    const { kid } = this.#roster.get(userid) ?? {};
    return kid == null ? null : (this.#connection?.audioTrackOf(kid) ?? null);
  }

  /** How loud others are now: Map of userid to 0..1. */
  levels() {
    const levels = new Map();
    for (const [ssrc, level] of this.#connection?.levels() ?? []) {
      const participant = this.#roster.ofSsrc(ssrc);
      if (participant) levels.set(participant.userid, level);
    }
    return levels;
  }

  /** ms by which a participant's media is held back so that repeats of lost packets come in time. */
  heldBack(userid) {
    return this.#connection?.heldBack(this.#roster.get(userid)?.kid) ?? 0;
  }

  /** @returns {Promise<{counters: object, frames: Array | null}>} of the encryption; see sframe-worker.js */
  counters() {
    return this.#crypto.counters();
  }

  /** @returns {Promise<RTCStatsReport> | undefined} */
  getStats() {
    return this.#connection?.getStats();
  }

  // Joining and leaving ------------------------------------------------------------------------------

  /** Join the call. Rejects with SftError; the client is then closed. */
  async join() {
    this.#setState('connecting');
    try {
      await this.#establish(false);
      this.#connected();
    } catch (error) {
      this.#close(error);
      throw error;
    }
  }

  /** Say goodbye, and close. */
  async leave() {
    if (this.isOver) return;
    const answered = this.#connection?.messageOf('HANGUP', HANGUP_LIMIT);
    this.hangUp();
    await answered?.catch(() => {});
    this.#close(null);
  }

  /** Only say goodbye: for `pagehide`, when there is no time to wait. */
  hangUp() {
    this.state = 'closing'; // from now on a lost connection is what we want
    this.#send(this.#messages.plain('HANGUP'));
  }

  /** Try at once to reconnect, for instance when the browser says it is online again. */
  retryNow() {
    this.#backoff.wake();
  }

  // What we send -------------------------------------------------------------------------------------

  /** The microphone, or null. Without one when joining, the first one takes a new connection. */
  async setAudioTrack(track) {
    this.#media.audioTrack = track;
    await this.#applyTracks();
  }

  /** Camera or screen, or null. The first one after joining without takes a new connection. */
  async setVideoTrack(track, { screen = false } = {}) {
    this.#media.setVideo(track, screen);
    await this.#applyTracks();
    this.#sendProps();
  }

  /** Only tells the others; switching the track off (`enabled`) is up to the caller. */
  setMuted(muted) {
    this.#media.setMuted(muted);
    this.#sendProps();
  }

  /** Change the name the others are shown; not before `join` has an effect on them. */
  async setName(name) {
    this.#options.name = name;
    if (this.#connection?.isOpen) await this.#sendEnvelope();
  }

  /**
   * Whose video to get: [{userid, quality}], the most wanted first; as many as there are slots. Those who
   * stay keep their slot.
   */
  requestVideo(wanted) {
    this.#video.wanted = wanted;
    this.#requestVideo();
  }

  #requestVideo() {
    const streams = this.#video.next(this.#connection, this.#roster);
    if (!streams) return;
    this.#send(this.#messages.streams(streams));
    this.#emit('slots');
  }

  /** Approve again, after the answer of `approve` has changed. */
  reconsider() {
    this.#announceAndApprove();
  }

  // One exchange: CONFCONN, SETUP or UPDATE, the answer, the data channel -----------------------------------
  #establish(update) {
    this.#round ??= this.#exchange(update).finally(() => {
      this.#round = null;
    });
    return this.#round;
  }

  /** Ends with the first CONFPART on the new connection. */
  async #exchange(update) {
    const request = this.#messages.confConn(update, { ...this.#options, version: VERSION });
    const given = this.#options.turn ? await this.#server.iceServers(request) : [];
    const iceServers = [...this.#options.iceServers, ...given];
    const connection = new Connection(++this.#connections, newKid(), this.#crypto, iceServers);
    connection.addEventListener('message', ({ detail }) => this.#receive(connection, detail));
    connection.addEventListener('interruption', () => this.#emit('state'));
    connection.addEventListener('lost', ({ detail }) => this.#lost(connection, detail));
    try {
      await connection.establish(this.#server, this.#messages, request, this.#media);
      if (this.isOver) throw new SftError('left');
      await this.#use(connection);
    } catch (error) {
      connection.close();
      throw error instanceof SftError ? error : new SftError('protocol', error.message);
    }
  }

  /** From here on this is the connection; ends with its first CONFPART. */
  async #use(connection) {
    this.#connection?.close();
    this.#connection = connection;
    this.#video.reset();
    const roster = connection.messageOf('CONFPART', ROSTER_LIMIT);
    this.#sendProps();
    this.#sendEnvelope();
    this.#keepAlive.start(
      () => this.#send(this.#messages.plain('PING')),
      () => this.#lost(connection, 'no answer'),
    );
    connection.start();
    await roster;
    // Chrome calls a channel open that the other side has opened before it is, and loses what is sent then.
    this.#sendProps();
    this.#sendEnvelope();
  }

  /** Tracks that the connection cannot carry as it was negotiated take a new connection. */
  async #applyTracks() {
    if (this.state === 'reconnecting') return; // the next connection starts with them
    await this.#round?.catch(() => {});
    const connection = this.#connection;
    if (this.state !== 'connected' || !connection) return;
    if (this.#media.fits(connection)) return this.#media.apply(connection);
    try {
      await this.#establish(true);
    } catch {
      this.#lost(this.#connection, 'no update');
    }
  }

  async #lost(connection, why) {
    if (connection !== this.#connection || this.state !== 'connected') return;
    this.#keepAlive.stop();
    connection.close();
    this.lossReason = why;
    this.#setState('reconnecting');
    this.#backoff.reset();
    while (this.state === 'reconnecting') {
      await this.#backoff.pause();
      if (this.state !== 'reconnecting') return;
      try {
        await this.#establish(true);
        return this.#connected();
      } catch (error) {
        if (error.isFinal) return this.#close(error);
      }
    }
  }

  // Messages -----------------------------------------------------------------------------------------
  #receive(connection, message) {
    if (connection !== this.#connection) return;
    switch (message.type) {
      case 'PING':
        this.#keepAlive.answered();
        break;
      case 'CONFPART':
        if (!message.resp) this.#takeRoster(message);
        break;
      case 'PROPSYNC':
        if (message.src_userid && message.props) this.#roster.setProps(message.src_userid, message.props);
        this.#emit('roster');
        break;
      case 'KEYENVELOPE':
        this.#takeEnvelope(message);
        break;
      case 'HANGUP':
        if (!message.resp) this.#lost(connection, 'server hung up');
        break;
    }
  }

  #takeRoster({ participants }) {
    this.#roster.replace(participants ?? []);
    this.#announceAndApprove();
    this.#requestVideo();
  }

  async #takeEnvelope({ src_userid: userid, envelope }) {
    if (typeof userid !== 'string' || typeof envelope !== 'string') return;
    const content = await this.#keys.openEnvelope(envelope, userid);
    if (this.#roster.setEnvelope(userid, content)) this.#announceAndApprove();
  }

  /** First tell the worker whose frames to accept, then the server whose frames to send. */
  #announceAndApprove() {
    const approved = this.#roster.others.filter((participant) => this.approves(participant));
    this.#crypto.announce(approved);
    this.#send(this.#messages.approval(approved));
    this.#emit('roster');
    this.#emit('slots');
  }

  async #sendEnvelope() {
    const { kid, number } = this.#connection;
    const content = { name: this.#options.name, kid, userid: this.userid, connection: number };
    this.#send(this.#messages.keyEnvelope(await this.#keys.sealEnvelope(content)));
  }

  #sendProps() {
    this.#send(this.#messages.propSync(this.#media.props));
  }

  #send(message) {
    this.#connection?.send(message);
  }

  #sourceChanged({ connection, mid, kid }) {
    if (connection !== this.#connection?.number) return;
    this.#connection.setSource(mid, kid);
    this.#emit('slots');
  }

  #connected() {
    if (!this.isOver) this.#setState('connected');
  }

  #setState(state) {
    this.state = state;
    this.#emit('state');
  }

  #close(error) {
    if (this.state === 'closed') return;
    this.#keepAlive.stop();
    this.#connection?.close();
    this.#crypto.terminate();
    this.error = error;
    this.#setState('closed');
    this.#backoff.wake();
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
