/** Who is in the call, and what is known of them. */

const MAX_ENVELOPES = 512;

/**
 * A participant of the call:
 *
 * - `userid`, `clientid`, `ssrcAudio`, `ssrcVideo`, `joined`: as the server's CONFPART says
 * - `sealed`: 'pending' (no envelope yet), 'open' (holds our secret), 'failed' (another secret)
 * - `name`, `kid`: out of the envelope; null before
 * - `muted`, `video`, `screen`: as it says itself, through the server, unauthenticated
 * - `isSelf`
 */
export class Participant {
  constructor(entry, isSelf) {
    this.userid = entry.userid;
    this.isSelf = isSelf;
    this.sealed = 'pending';
    this.name = null;
    this.kid = null;
    this.muted = false;
    this.video = false;
    this.screen = false;
    this.update(entry);
  }

  update(entry) {
    this.clientid = entry.clientid;
    this.ssrcAudio = Number(entry.ssrc_audio);
    this.ssrcVideo = Number(entry.ssrc_video);
    this.joined = entry.timestamp ?? 0;
    if (typeof entry.muted === 'boolean') this.muted = entry.muted;
  }

  setProps(props) {
    if ('muted' in props) this.muted = props.muted === 'true';
    if ('screensend' in props) this.screen = props.screensend === 'true';
    if ('videosend' in props) this.video = props.videosend === 'true' || this.screen;
  }
}

export class Roster {
  #self;
  #participants = new Map(); // userid -> Participant, in the order of the server
  #envelopes = new Map(); // userid -> {name, kid, connection} | null (could not be opened)
  #props = new Map(); // userid -> props that came before their participant

  constructor(selfUserid) {
    this.#self = selfUserid;
  }

  /** All participants, oneself among them, in the server's order. */
  get all() {
    return [...this.#participants.values()];
  }

  get others() {
    return this.all.filter((participant) => !participant.isSelf);
  }

  get(userid) {
    return this.#participants.get(userid);
  }

  ofKid(kid) {
    return this.others.find((participant) => participant.kid === kid);
  }

  ofSsrc(ssrc) {
    return this.others.find(({ ssrcAudio, ssrcVideo }) => ssrcAudio === ssrc || ssrcVideo === ssrc);
  }

  /** Take the `participants` of a CONFPART. */
  replace(entries) {
    const next = new Map();
    for (const entry of entries) {
      if (typeof entry?.userid !== 'string') continue;
      const known = this.#participants.get(entry.userid);
      const participant = known ?? new Participant(entry, entry.userid === this.#self);
      if (known) known.update(entry);
      else this.#applyKnown(participant);
      next.set(entry.userid, participant);
    }
    this.#participants = next;
  }

  #applyKnown(participant) {
    const { userid } = participant;
    if (this.#envelopes.has(userid)) this.#applyEnvelope(participant, this.#envelopes.get(userid));
    participant.setProps(this.#props.get(userid) ?? {});
    this.#props.delete(userid);
  }

  #applyEnvelope(participant, content) {
    participant.sealed = content ? 'open' : 'failed';
    participant.name = content?.name ?? null;
    participant.kid = content?.kid ?? null;
  }

  /**
   * Take an envelope's content (null: it could not be opened) in the name of `userid`. False if it
   * changes nothing: oneself's, an older one, a KID that is somebody else's, or rubbish after a good one.
   */
  setEnvelope(userid, content) {
    const known = this.#envelopes.get(userid);
    if (userid === this.#self || (known && (!content || content.connection <= known.connection))) return false;
    if (content) {
      for (const [other, { kid } = {}] of this.#opened()) {
        if (other !== userid && kid === content.kid) return false;
      }
    }
    this.#envelopes.set(userid, content);
    for (const old of this.#envelopes.keys()) {
      if (this.#envelopes.size <= MAX_ENVELOPES) break;
      if (!this.#participants.has(old)) this.#envelopes.delete(old);
    }
    const participant = this.#participants.get(userid);
    if (participant) this.#applyEnvelope(participant, content);
    return true;
  }

  #opened() {
    return [...this.#envelopes].filter(([, content]) => content);
  }

  /** Take the props of a PROPSYNC. */
  setProps(userid, props) {
    const participant = this.#participants.get(userid);
    if (!participant) {
      if (this.#props.size < MAX_ENVELOPES) this.#props.set(userid, props);
      return;
    }
    participant.setProps(props);
  }
}
