/** What we send, and what we say of it. */
export class LocalMedia {
  audioTrack = null;
  videoTrack = null;

  /** For PROPSYNC (protocol section 2.7). */
  props = { muted: 'false', videosend: 'false', screensend: 'false', audiocbr: 'false' };

  setVideo(track, screen) {
    this.videoTrack = track;
    this.props.videosend = String(Boolean(track) && !screen);
    this.props.screensend = String(Boolean(track) && screen);
  }

  setMuted(muted) {
    this.props.muted = String(muted);
  }

  /** Whether a connection, as it was negotiated, can carry the tracks. */
  fits({ sendsAudio, sendsVideo }) {
    return (sendsAudio || !this.audioTrack) && (sendsVideo || !this.videoTrack);
  }

  /** Have a connection that fits send the tracks. */
  async apply(connection) {
    if (connection.sendsAudio) await connection.replaceAudioTrack(this.audioTrack);
    if (connection.sendsVideo) await connection.replaceVideoTrack(this.videoTrack);
  }
}
