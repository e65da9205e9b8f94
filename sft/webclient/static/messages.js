/** What the client says: JSON objects as in the protocol's sections 2.3 to 2.11. */

const CLIENT_ID = '_';
const TOOL_VERSION = '10.0.0'; // of the Wire clients whose behaviour we share: from this on simulcast is offered

export class Messages {
  #envelope;

  constructor(callId, userid) {
    this.#envelope = { version: '3.0', sessid: callId, src_userid: userid, src_clientid: CLIENT_ID };
  }

  /** A message without fields of its own (PING, HANGUP), or with the given ones. */
  plain(type, fields = {}) {
    return { type, ...this.#envelope, dest_userid: 'sft', dest_clientid: 'SFT', resp: false, ...fields };
  }

  /** Asks for an offer. */
  confConn(update, { version, iceServers, videoStreams, username, credential }) {
    return this.plain('CONFCONN', {
      dest_userid: 'SFT',
      dest_clientid: CLIENT_ID,
      ice_servers: iceServers.map(({ urls, ...rest }) => ({ urls: [urls].flat()[0], ...rest })),
      update,
      tool: `sft-web/${version}`,
      toolver: TOOL_VERSION,
      env: 0,
      status: 0,
      selective_audio: true,
      selective_video: true,
      vstreams: videoStreams,
      ...(username ? { username, credential } : {}),
    });
  }

  /** Answers an offer with its own type, SETUP or UPDATE. */
  answer(type, sdp, props) {
    return this.plain(type, { resp: true, sdp, props });
  }

  propSync(props) {
    return this.plain('PROPSYNC', { props });
  }

  /** Whom we let hear and see us, and want to hear and see. */
  approval(participants) {
    return this.plain('CONFPART', {
      dest_userid: 'SFT',
      resp: true,
      should_start: false,
      timestamp: '0',
      seqno: '0',
      participants: participants.map(({ userid, clientid, ssrcAudio, ssrcVideo, joined }) => ({
        userid,
        clientid,
        authorized: true,
        ssrc_audio: String(ssrcAudio),
        ssrc_video: String(ssrcVideo),
        timestamp: joined,
      })),
    });
  }

  /** @param {{userid: string, quality: number}[]} streams index = video slot */
  streams(streams) {
    return this.plain('CONFSTREAMS', { dest_userid: 'SFT', mode: 'list', streams });
  }

  /** For everybody; see CallKeys.sealEnvelope. */
  keyEnvelope(envelope) {
    return this.plain('KEYENVELOPE', { recipients: [], envelope });
  }
}
