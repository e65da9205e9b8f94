/**
 * `window.sftTest`, only with `?synthetic=1`:
 *
 *     await sftTest.state()     what this page sees and hears; see below
 *     sftTest.forceApprove()    approve everybody, whatever their envelope says
 *     await sftTest.frameIds()  [[kid (hex), counter], ...] that this page has encrypted with
 *     sftTest.client            the SftClient
 */

import { audioContext } from './synthetic.js';
import { kidToHex } from './secrets.js';

const TONE_FLOOR = -60; // dB at which a tone counts as heard

export function installTestHooks({ client, screen, hooks, options }) {
  const ears = new Map(); // audio track -> AnalyserNode
  const looker = Object.assign(document.createElement('canvas'), { width: 8, height: 8 });
  const paint = looker.getContext('2d', { willReadFrequently: true });

  function earOf(track) {
    if (!ears.has(track)) {
      const ear = new AnalyserNode(audioContext(), { fftSize: 8192, smoothingTimeConstant: 0.3 });
      audioContext().createMediaStreamSource(new MediaStream([track])).connect(ear);
      ears.set(track, ear);
    }
    return ears.get(track);
  }

  /** {frequency: dB} around each expected frequency, and the loudest frequency. */
  function listen(track) {
    const ear = earOf(track);
    const bins = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(bins);
    const width = ear.context.sampleRate / ear.fftSize;
    const around = (frequency) => {
      const bin = Math.round(frequency / width);
      return Math.max(...bins.subarray(Math.max(0, bin - 2), bin + 3));
    };
    const peak = bins.indexOf(Math.max(...bins));
    return {
      heard: options.tones.filter((tone) => around(tone) > TONE_FLOOR),
      peakHz: Math.round(peak * width),
      peakDb: bins[peak],
    };
  }

  /** Median hue of a video element's picture, degrees; null: no picture. */
  function look(video) {
    if (!video?.videoWidth || !video.srcObject) return null;
    paint.drawImage(video, 0, 0, 8, 8);
    const { data } = paint.getImageData(0, 0, 8, 8);
    const hues = [];
    for (let at = 0; at < data.length; at += 4) {
      const hue = hueOf(data[at], data[at + 1], data[at + 2]);
      if (hue !== null) hues.push(hue);
    }
    return hues.length ? hues.sort((a, b) => a - b)[hues.length >> 1] : null;
  }

  async function traffic() {
    const frames = new Map(); // track id -> framesDecoded
    let packetsReceived = 0;
    let packetsSent = 0;
    for (const stat of (await client.getStats())?.values() ?? []) {
      if (stat.type === 'outbound-rtp') packetsSent += stat.packetsSent;
      if (stat.type !== 'inbound-rtp') continue;
      packetsReceived += stat.packetsReceived;
      if (stat.kind === 'video') frames.set(stat.trackIdentifier, stat.framesDecoded);
    }
    return { frames, packetsReceived, packetsSent };
  }

  // Listening takes time: begin with every slot that appears, end with those that are gone.
  client.addEventListener('slots', () => {
    for (const track of ears.keys()) if (track.readyState === 'ended') ears.delete(track);
    client.audioTracks.forEach(earOf);
  });

  window.sftTest = {
    client,

    forceApprove() {
      hooks.forced = true;
      client.reconsider();
    },

    async frameIds() {
      const { frames } = await client.counters();
      return frames.map(([kid, counter]) => [kidToHex(kid), Number(counter)]);
    },

    /**
     * {state, announced, userid, kid, code, banner, counters, packetsReceived, packetsSent,
     *  framesDecoded: in all video slots; slotsDb: the loudest frequency of each audio slot, null: silence,
     *  participants: {userid: {name, sealed, approved, tile, muted, video, screen, kid, speaking, heldBack,
     *                          framesDecoded, width, height, hue, heard, peakHz, peakDb}}}
     */
    async state() {
      const { frames, packetsReceived, packetsSent } = await traffic();
      const { counters } = await client.counters();
      const participants = {};
      for (const participant of client.participants) {
        if (participant.isSelf) continue;
        const { userid, name, sealed, muted, video, screen: sharing, kid } = participant;
        const element = screen.tiles.videoOf(userid);
        const shown = element?.srcObject?.getVideoTracks()[0];
        const audio = client.audioTrackOf(userid);
        participants[userid] = {
          name,
          sealed,
          approved: client.approves(participant),
          tile: screen.tiles.has(userid),
          muted,
          video,
          screen: sharing,
          kid: kid === null ? null : kidToHex(kid),
          speaking: screen.tiles.isSpeaking(userid),
          heldBack: client.heldBack(userid),
          framesDecoded: frames.get(shown?.id) ?? 0,
          width: element?.videoWidth ?? 0,
          height: element?.videoHeight ?? 0,
          hue: look(element),
          ...(audio ? listen(audio) : { heard: [], peakHz: null, peakDb: null }),
        };
      }
      return {
        state: client.state,
        announced: client.announced,
        userid: client.userid,
        kid: client.kid === null ? null : kidToHex(client.kid),
        code: client.verificationCode,
        banner: document.querySelector('#banner:not([hidden]) p')?.textContent ?? '',
        counters,
        packetsReceived,
        packetsSent,
        framesDecoded: [...frames.values()].reduce((sum, count) => sum + count, 0),
        slotsDb: client.audioTracks.map((track) => listen(track).peakDb),
        participants,
      };
    },
  };
}

function hueOf(red, green, blue) {
  const high = Math.max(red, green, blue);
  const low = Math.min(red, green, blue);
  if (high - low < 30) return null; // grey: the name, or nothing
  const sector =
    high === red ? (green - blue) / (high - low) : high === green ? 2 + (blue - red) / (high - low) : 4 + (red - green) / (high - low);
  return Math.round((sector * 60 + 360) % 360);
}
