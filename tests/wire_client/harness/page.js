// One Wire client in one page; drives the unmodified @wireapp/avs.
//
// Everything of interest is pushed to `window.__events` (drained by driver.js), and what the client
// sends end to end goes to the driver through the exposed function `__backendSend`.
import axios from 'axios';
import {
  CALL_TYPE,
  CONV_TYPE,
  ENV,
  LOG_LEVEL,
  RESOLUTION,
  STATE,
  VIDEO_STATE,
  VSTREAMS,
  getAvsInstance,
} from '@wireapp/avs';

const t0 = performance.timeOrigin;
const events = (window.__events = []);
const emit = (kind, data = {}) => events.push({t: Math.round(t0 + performance.now()), kind, ...data});
window.__drain = () => events.splice(0, events.length);

window.addEventListener('error', e => emit('page-error', {message: e.message}));
window.addEventListener('unhandledrejection', e => emit('page-rejection', {message: String(e.reason && e.reason.stack || e.reason)}));

// ---------------------------------------------------------------- RTCPeerConnection tap
const pcs = [];
const NativePC = window.RTCPeerConnection;
function tapChannel(pcIndex, dc, origin) {
  const send = dc.send.bind(dc);
  dc.send = data => {
    emit('dc-send', {pc: pcIndex, label: dc.label, data: String(data)});
    return send(data);
  };
  dc.addEventListener('message', e => emit('dc-recv', {pc: pcIndex, label: dc.label, data: String(e.data)}));
  for (const type of ['open', 'close', 'error']) {
    dc.addEventListener(type, () =>
      emit('dc-state', {pc: pcIndex, label: dc.label, id: dc.id, protocol: dc.protocol, ordered: dc.ordered,
        negotiated: dc.negotiated, origin, state: type, maxPacketLifeTime: dc.maxPacketLifeTime, maxRetransmits: dc.maxRetransmits}),
    );
  }
}
class TappedPC extends NativePC {
  constructor(config, ...rest) {
    super(config, ...rest);
    this.__index = pcs.length;
    pcs.push(this);
    emit('pc-new', {pc: this.__index, config: JSON.parse(JSON.stringify(config ?? null))});
    this.addEventListener('datachannel', e => tapChannel(this.__index, e.channel, 'remote'));
    for (const [type, attr] of [
      ['connectionstatechange', 'connectionState'],
      ['iceconnectionstatechange', 'iceConnectionState'],
      ['icegatheringstatechange', 'iceGatheringState'],
      ['signalingstatechange', 'signalingState'],
    ]) {
      this.addEventListener(type, () => emit('pc-state', {pc: this.__index, attr, value: this[attr]}));
    }
    this.addEventListener('icecandidate', e => emit('pc-candidate', {pc: this.__index, candidate: e.candidate && e.candidate.candidate}));
    this.addEventListener('track', e =>
      emit('pc-track', {pc: this.__index, trackKind: e.track.kind, id: e.track.id, mid: e.transceiver.mid, streams: e.streams.map(s => s.id)}),
    );
  }
  createDataChannel(label, opts) {
    const dc = super.createDataChannel(label, opts);
    tapChannel(this.__index, dc, 'local');
    return dc;
  }
  setLocalDescription(d) {
    emit('sdp', {pc: this.__index, side: 'local', type: d && d.type, sdp: d && d.sdp});
    return super.setLocalDescription(d).catch(err => {
      emit('sdp-error', {pc: this.__index, side: 'local', message: String(err)});
      throw err;
    });
  }
  setRemoteDescription(d) {
    emit('sdp', {pc: this.__index, side: 'remote', type: d && d.type, sdp: d && d.sdp});
    return super.setRemoteDescription(d).catch(err => {
      emit('sdp-error', {pc: this.__index, side: 'remote', message: String(err)});
      throw err;
    });
  }
  close() {
    emit('pc-close', {pc: this.__index});
    return super.close();
  }
}
window.RTCPeerConnection = TappedPC;
if (RTCRtpSender.prototype.setParameters) {
  const native = RTCRtpSender.prototype.setParameters;
  RTCRtpSender.prototype.setParameters = function (p, ...r) {
    emit('sender-set-parameters', {trackKind: this.track && this.track.kind, encodings: JSON.parse(JSON.stringify(p.encodings ?? null))});
    return native.call(this, p, ...r);
  };
}

// ---------------------------------------------------------------- state of this client
const st = {
  cfg: null,
  wcall: null,
  wuser: 0,
  convs: new Map(), // convid -> {state, incoming, muted, members, videoState}
  audio: new Map(), // stream id -> {el, stream, analyser}
  video: new Map(), // "user.client" -> {el, stream, streams}
  logLevelCounts: {},
  decrypted: {audio: {}, video: {}},
  speakers: {},
  errors: [],
};
window.__st = st;

function conv(convid) {
  if (!st.convs.has(convid)) {
    st.convs.set(convid, {state: 'NONE', incoming: null, members: [], everMembers: {}, closed: null, videoState: VIDEO_STATE.STOPPED});
  }
  return st.convs.get(convid);
}
const nameOf = (en, v) => Object.keys(en).find(k => en[k] === v) ?? String(v);

// ---------------------------------------------------------------- media of this client
let audioCtx;
function ctx() {
  audioCtx ??= new AudioContext();
  if (audioCtx.state !== 'running') audioCtx.resume();
  return audioCtx;
}
let toneStream;
function toneTrack(hz) {
  // a tone, cut into syllable-like bursts so that level meters and DTX see speech-like input
  if (!toneStream) {
    const c = ctx();
    const dest = c.createMediaStreamDestination();
    const osc = c.createOscillator();
    osc.type = 'sine'; // no harmonics: they could pass for another client's tone
    osc.frequency.value = hz;
    const am = c.createGain();
    am.gain.value = 0.25;
    const lfo = c.createOscillator();
    lfo.type = 'sine';
    lfo.frequency.value = 3;
    const depth = c.createGain();
    depth.gain.value = 0.2;
    lfo.connect(depth).connect(am.gain);
    osc.connect(am).connect(dest);
    osc.start();
    lfo.start();
    toneStream = dest.stream;
  }
  return toneStream.getAudioTracks()[0].clone();
}
const canvasStreams = new Map(); // hue -> stream
function canvasTrack({width, height, fps, hue, label}) {
  if (!canvasStreams.has(hue)) {
    const cv = document.createElement('canvas');
    cv.width = width;
    cv.height = height;
    document.body.append(cv);
    const g = cv.getContext('2d');
    let n = 0;
    setInterval(() => {
      g.fillStyle = `hsl(${hue} 90% 50%)`;
      g.fillRect(0, 0, width, height);
      g.fillStyle = '#000';
      g.fillRect((n * 7) % width, 0, Math.max(8, width / 40), height);
      g.fillStyle = '#fff';
      g.font = `${Math.round(height / 8)}px sans-serif`;
      g.fillText(`${label} ${n++}`, width / 10, height / 2);
    }, 1000 / fps);
    canvasStreams.set(hue, cv.captureStream(fps));
  }
  return canvasStreams.get(hue).getVideoTracks()[0].clone();
}
const cached = {}; // microphone, camera, screen: what the library holds is asked for once
async function userMediaHandler(convid, useAudio, useVideo, useScreen) {
  emit('user-media', {convid, useAudio, useVideo, useScreen});
  const m = st.cfg.media;
  const take = (kind, make) => {
    if (cached[kind]?.readyState !== 'live') cached[kind] = make();
    return cached[kind];
  };
  const tracks = [];
  if (useAudio) tracks.push(take('microphone', () => toneTrack(m.hz)));
  if (useScreen) tracks.push(take('screen', () => canvasTrack({...m, hue: m.screenHue, label: `${st.cfg.label} screen`})));
  else if (useVideo) tracks.push(take('camera', () => canvasTrack({...m, label: st.cfg.label})));
  return new MediaStream(tracks);
}

function onAudioStream(convid, id, streams) {
  emit('audio-stream', {convid, id, streams: streams && streams.map(s => ({id: s.id, tracks: s.getTracks().map(x => x.id)}))});
  const old = st.audio.get(id);
  if (!streams || !streams.length) {
    if (old) {
      old.el.srcObject = null;
      old.el.remove();
      try { old.node.disconnect(); } catch {}
      st.audio.delete(id);
    }
    return;
  }
  if (old) return;
  const el = document.createElement('audio');
  el.autoplay = true;
  el.srcObject = streams[0];
  document.body.append(el);
  el.play().catch(e => emit('play-error', {what: 'audio', message: String(e)}));
  let analyser, node;
  if (st.cfg.media.hz) {
    node = ctx().createMediaStreamSource(streams[0]);
    analyser = ctx().createAnalyser();
    analyser.fftSize = 8192;
    analyser.smoothingTimeConstant = 0;
    node.connect(analyser);
  }
  st.audio.set(id, {el, stream: streams[0], analyser, node, peaks: {}});
}
function onVideoStream(convid, userid, clientid, streams) {
  emit('video-stream', {convid, userid, clientid, streams: streams && streams.map(s => ({id: s.id, tracks: s.getTracks().map(x => x.id)}))});
  const key = `${userid}.${clientid}`;
  const old = st.video.get(key);
  if (old) {
    old.el.srcObject = null;
    old.el.remove();
    st.video.delete(key);
  }
  if (!streams || !streams.length) return;
  const el = document.createElement('video');
  el.autoplay = true;
  el.muted = true;
  el.playsInline = true;
  el.width = 160;
  el.srcObject = streams[0];
  document.body.append(el);
  el.play().catch(e => emit('play-error', {what: 'video', message: String(e)}));
  st.video.set(key, {el, stream: streams[0]});
}

// every second: which tones can be heard in the received audio, which colours are seen
const heard = {}; // hz -> max dB above the local floor
const seen = {}; // "user.client" -> hue of a tile there is now, its size and clock
function sniff() {
  const loudest = {};
  for (const a of st.audio.values()) {
    if (!a.analyser) continue;
    const bins = new Float32Array(a.analyser.frequencyBinCount);
    a.analyser.getFloatFrequencyData(bins);
    const step = ctx().sampleRate / a.analyser.fftSize;
    for (const hz of st.cfg.media.allHz) {
      const k = Math.round(hz / step);
      const peak = Math.max(bins[k - 1], bins[k], bins[k + 1]);
      if (Number.isFinite(peak)) loudest[hz] = Math.max(loudest[hz] ?? -200, peak);
    }
  }
  for (const [hz, peak] of Object.entries(loudest)) {
    const h = (heard[hz] ??= {maxDb: -200, n: 0});
    h.maxDb = Math.max(h.maxDb, peak);
    if (peak > -60) h.n++;
  }
  for (const key of Object.keys(seen)) delete seen[key];
  for (const [key, v] of st.video) {
    if (!v.el.videoWidth) continue;
    const c = (v.canvas ??= document.createElement('canvas'));
    c.width = c.height = 8;
    const g = c.getContext('2d', {willReadFrequently: true});
    g.drawImage(v.el, 0, 0, v.el.videoWidth, v.el.videoHeight, 0, 0, 8, 8);
    // median hue over the pixels
    const d = g.getImageData(0, 0, 8, 8).data;
    const hues = [];
    for (let i = 0; i < d.length; i += 4) hues.push(hue(d[i], d[i + 1], d[i + 2]));
    hues.sort((x, y) => x - y);
    seen[key] = {hue: Math.round(hues[32]), width: v.el.videoWidth, height: v.el.videoHeight, time: +v.el.currentTime.toFixed(2)};
  }
}
function hue(r, g, b) {
  const mx = Math.max(r, g, b), mn = Math.min(r, g, b), d = mx - mn;
  if (!d) return -1;
  let h = mx === r ? ((g - b) / d) % 6 : mx === g ? (b - r) / d + 2 : (r - g) / d + 4;
  h *= 60;
  return h < 0 ? h + 360 : h;
}

// ---------------------------------------------------------------- the library
async function init(cfg) {
  st.cfg = cfg;
  const pt = RTCRtpSender.prototype;
  emit('features', {
    userAgent: navigator.userAgent,
    isSecureContext,
    createEncodedStreams: typeof pt.createEncodedStreams,
    createEncodedVideoStreams: typeof pt.createEncodedVideoStreams,
    transformInSender: 'transform' in pt,
    RTCRtpScriptTransform: typeof window.RTCRtpScriptTransform,
    subtle: typeof crypto.subtle,
  });
  const w = (st.wcall = await getAvsInstance());
  w.setLogHandler((level, msg, arg) => {
    const line = String(msg).trim();
    st.logLevelCounts[nameOf(LOG_LEVEL, level)] = (st.logLevelCounts[nameOf(LOG_LEVEL, level)] ?? 0) + 1;
    const m = /frame_(dec|enc): (?:decrypt|encrypt): first frame (received|decrypted|encrypted) type: (audio|video) uid: (\S+) fid: (\S+) csrc: (\S+)/.exec(line);
    if (m && m[1] === 'dec' && m[2] === 'decrypted') {
      (st.decrypted[m[3]][m[4]] ??= []).push(m[6]);
    }
    emit('log', {level: nameOf(LOG_LEVEL, level), msg: line});
  });
  const env = cfg.env === 'firefox' ? ENV.FIREFOX : ENV.DEFAULT;
  w.init(env);
  w.setUserMediaHandler(userMediaHandler);
  w.setAudioStreamHandler(onAudioStream);
  w.setVideoStreamHandler(onVideoStream);
  emit('conference-supported', {value: w.isConferenceCallingSupported()});
  setInterval(() => w.poll(), 500);
  setInterval(sniff, 1000);

  st.wuser = w.create(
    cfg.userid,
    cfg.clientid,
    version => emit('ready', {version}),
    // send
    (context, convid, selfUser, selfClient, targets, unused, data, len, trans, myClientsOnly) => {
      emit('e2e-send', {convid, selfUser, selfClient, targets, data, len, trans, myClientsOnly});
      window.__backendSend({convid, targets: targets ? JSON.parse(targets) : null, data, trans, myClientsOnly: myClientsOnly === 1});
      return 0;
    },
    // sft request: as the web app does it, axios.post of the string, JSON back into sftResp
    (context, url, data, len) => {
      const started = performance.now();
      emit('sft-request', {url, body: data, len});
      (async () => {
        const response = await axios.post(url, data);
        const json = JSON.stringify(response.data);
        emit('sft-response', {url, status: response.status, ms: Math.round(performance.now() - started), contentType: response.headers['content-type'], body: json});
        w.sftResp(st.wuser, response.status, json, json.length, context);
      })().catch(err => {
        emit('sft-error', {url, ms: Math.round(performance.now() - started), message: err && err.message, status: err && err.response && err.response.status});
        w.sftResp(st.wuser, 1000, '', 0, context);
      });
      return 0;
    },
    // incoming
    (convid, msgTime, userid, clientid, video, ring, convType) => {
      conv(convid).incoming = {userid, clientid, video, ring, convType};
      conv(convid).closed = null;
      emit('incoming', {convid, msgTime, userid, clientid, video, ring, convType: nameOf(CONV_TYPE, convType)});
      window.__incoming && window.__incoming({convid});
    },
    (convid, msgTime, userid, clientid, video) => emit('missed', {convid, msgTime, userid, clientid, video}),
    convid => emit('answered', {convid}),
    (convid, userid, clientid) => emit('estab', {convid, userid, clientid}),
    (reason, convid, msgTime, userid, clientid) => {
      conv(convid).closed = {reason};
      emit('close', {reason, convid, msgTime, userid, clientid});
    },
    (convid, metrics) => emit('metrics', {convid, metrics}),
    // config request
    () => {
      emit('config-request');
      setTimeout(() => {
        w.configUpdate(st.wuser, 0, JSON.stringify(st.cfg.callConfig));
      }, 10);
      return 0;
    },
    (userid, clientid, enabled) => emit('audio-cbr', {userid, clientid, enabled}),
    (convid, userid, clientid, state) => emit('video-state', {convid, userid, clientid, state: nameOf(VIDEO_STATE, state)}),
  );
  emit('wuser', {wuser: st.wuser});
  w.setNetworkQualityHandler(st.wuser, (convid, userid, clientid, quality) => emit('quality', {convid, userid, clientid, quality}), 10);
  w.setMuteHandler(st.wuser, muted => emit('mute', {muted}));
  w.setStateHandler(st.wuser, (convid, state) => {
    conv(convid).state = nameOf(STATE, state);
    emit('state', {convid, state: nameOf(STATE, state)});
  });
  w.setParticipantChangedHandler(st.wuser, (convid, json) => {
    const {members} = JSON.parse(json);
    const c = conv(convid);
    c.members = members;
    for (const m of members) c.everMembers[`${m.userid}.${m.clientid}`] = true;
    emit('participants', {convid, members});
    if (st.cfg.autoRequestVideo) requestStreams(convid);
  });
  w.setReqClientsHandler(st.wuser, (wuser, convid) => {
    emit('req-clients', {convid});
    if (st.cfg.mls) window.__reqEpoch({convid, why: 'req-clients'});
    else window.__reqClients({convid});
  });
  w.setReqNewEpochHandler(st.wuser, (wuser, convid) => {
    emit('req-new-epoch', {convid});
    window.__reqEpoch({convid, why: 'new-epoch'});
  });
  w.setActiveSpeakerHandler(st.wuser, (wuser, convid, json) => {
    let levels = {};
    try {
      levels = JSON.parse(json);
    } catch {}
    for (const l of levels.audio_levels ?? []) {
      const key = `${l.userid}.${l.clientid}`;
      const s = (st.speakers[key] ??= {n: 0, max: 0});
      s.n++;
      s.max = Math.max(s.max, l.audio_level_now ?? l.audio_level ?? 0);
    }
    emit('speakers', {convid, levels});
  });
  // mirror of the web app: notification mode during start-up, then off
  w.processNotifications(st.wuser, 1);
  await new Promise(r => setTimeout(r, 50));
  w.processNotifications(st.wuser, 0);
  await new Promise(r => setTimeout(r, 100));
  return {wuser: st.wuser};
}

// the current page of participants, as the web app asks for it: 9 a page, HIGH if two or fewer
function requestStreams(convid, quality, users) {
  const c = conv(convid);
  c.asked = {quality: quality ?? c.asked?.quality, users: users ?? c.asked?.users}; // sticks for later changes
  const others = c.members.filter(m => !(m.userid === st.cfg.userid && m.clientid === st.cfg.clientid));
  const page = c.asked.users ? others.filter(m => c.asked.users.includes(m.userid)) : others.slice(0, 9);
  const q = c.asked.quality ?? (page.length < 2 ? RESOLUTION.HIGH : RESOLUTION.LOW);
  const clients = page.map(m => ({userid: m.userid, clientid: m.clientid, quality: q}));
  if (!clients.length) return;
  const json = JSON.stringify({clients, convid});
  emit('request-streams', {convid, json});
  st.wcall.requestVideoStreams(st.wuser, convid, VSTREAMS.LIST, json);
}

const convType = () => (st.cfg.mls ? CONV_TYPE.CONFERENCE_MLS : CONV_TYPE.CONFERENCE);

window.client = {
  init,
  start(convid, {video = false} = {}) {
    st.wcall.setMute(st.wuser, 0);
    conv(convid).closed = null;
    const rc = st.wcall.start(st.wuser, convid, video ? CALL_TYPE.VIDEO : CALL_TYPE.NORMAL, convType(), st.cfg.cbr ? 1 : 0, 0);
    emit('api-start', {convid, video, rc});
    return rc;
  },
  answer(convid, {video = false, mute = false} = {}) {
    st.wcall.setMute(st.wuser, mute ? 1 : 0);
    const rc = st.wcall.answer(st.wuser, convid, video ? CALL_TYPE.VIDEO : CALL_TYPE.NORMAL, st.cfg.cbr ? 1 : 0);
    emit('api-answer', {convid, video, rc});
    return rc;
  },
  end(convid) {
    emit('api-end', {convid});
    st.wcall.end(st.wuser, convid);
  },
  reject(convid) {
    emit('api-reject', {convid});
    return st.wcall.reject(st.wuser, convid);
  },
  setMute(muted) {
    emit('api-mute', {muted});
    st.wcall.setMute(st.wuser, muted ? 1 : 0);
  },
  setVideoState(convid, name) {
    emit('api-video-state', {convid, name});
    conv(convid).videoState = VIDEO_STATE[name];
    st.wcall.setVideoSendState(st.wuser, convid, VIDEO_STATE[name]);
  },
  requestVideo: requestStreams,
  setClients(convid, clients) {
    emit('set-clients', {convid, clients});
    return st.wcall.setClientsForConv(st.wuser, convid, JSON.stringify({convid, clients}));
  },
  setEpoch(convid, epoch, clients, key) {
    emit('set-epoch', {convid, epoch, clients});
    return st.wcall.setEpochInfo(st.wuser, convid, epoch, JSON.stringify({convid, clients}), key);
  },
  recv(m) {
    const s = JSON.stringify(JSON.parse(m.data));
    const rc = st.wcall.recvMsg(st.wuser, s, s.length, m.now, m.time, m.convid, m.userid, m.clientid, convType(), 0);
    emit('e2e-recv', {from: `${m.userid}.${m.clientid}`, convid: m.convid, data: s, rc});
    return rc;
  },
  setCallConfig(c) {
    st.cfg.callConfig = c;
  },
  networkChanged() {
    emit('api-network-changed');
    st.wcall.networkChanged();
  },
  async stats() {
    const out = [];
    for (const pc of pcs) {
      const entry = {pc: pc.__index, connectionState: pc.connectionState, iceConnectionState: pc.iceConnectionState, inbound: [], outbound: [], pair: null, csrcs: [], codecs: {}};
      if (pc.connectionState !== 'closed') {
        const report = await pc.getStats();
        report.forEach(s => {
          if (s.type === 'inbound-rtp') {
            entry.inbound.push(pick(s, ['kind', 'ssrc', 'mid', 'trackIdentifier', 'packetsReceived', 'bytesReceived', 'packetsLost', 'jitter', 'packetsDiscarded', 'totalAudioEnergy', 'audioLevel', 'totalSamplesReceived', 'concealedSamples', 'framesReceived', 'framesDecoded', 'keyFramesDecoded', 'framesDropped', 'frameWidth', 'frameHeight', 'framesPerSecond', 'firCount', 'pliCount', 'nackCount', 'freezeCount', 'totalFreezesDuration', 'retransmittedPacketsReceived', 'codecId']));
          } else if (s.type === 'outbound-rtp') {
            entry.outbound.push(pick(s, ['kind', 'ssrc', 'mid', 'rid', 'active', 'packetsSent', 'bytesSent', 'framesEncoded', 'frameWidth', 'frameHeight', 'framesPerSecond', 'nackCount', 'pliCount', 'firCount', 'targetBitrate', 'qualityLimitationReason', 'scalabilityMode', 'encoderImplementation', 'codecId', 'retransmittedPacketsSent']));
          } else if (s.type === 'candidate-pair' && (s.nominated || s.state === 'succeeded')) {
            const l = report.get(s.localCandidateId), r = report.get(s.remoteCandidateId);
            entry.pair = {state: s.state, rtt: s.currentRoundTripTime, available: s.availableOutgoingBitrate, local: l && `${l.protocol} ${l.candidateType} ${l.address}:${l.port}`, remote: r && `${r.protocol} ${r.candidateType} ${r.address}:${r.port}`};
          } else if (s.type === 'codec') {
            entry.codecs[s.id] = `${s.payloadType} ${s.mimeType} ${s.sdpFmtpLine ?? ''}`;
          } else if (s.type === 'transport') {
            entry.transport = pick(s, ['dtlsState', 'dtlsRole', 'dtlsCipher', 'srtpCipher', 'tlsVersion', 'iceRole', 'iceState', 'selectedCandidatePairChanges']);
          } else if (s.type === 'data-channel') {
            entry.dataChannel = pick(s, ['label', 'state', 'messagesSent', 'messagesReceived', 'bytesSent', 'bytesReceived', 'dataChannelIdentifier', 'protocol']);
          }
        });
        for (const r of pc.getReceivers()) {
          for (const c of r.getContributingSources()) entry.csrcs.push({kind: r.track.kind, csrc: c.source, audioLevel: c.audioLevel});
        }
      }
      out.push(entry);
    }
    return out;
  },
  summary() {
    return {
      convs: Object.fromEntries([...st.convs].map(([k, v]) => [k, v])),
      decrypted: st.decrypted,
      speakers: st.speakers,
      heard,
      seen,
      videoElements: Object.fromEntries([...st.video].map(([k, v]) => [k, {w: v.el.videoWidth, h: v.el.videoHeight, t: v.el.currentTime, track: v.stream.getVideoTracks()[0]?.id}])),
      audioElements: [...st.audio].map(([k, v]) => ({id: k, t: v.el.currentTime, paused: v.el.paused})),
      logLevelCounts: st.logLevelCounts,
      audioCtx: audioCtx && audioCtx.state,
    };
  },
};
function pick(o, keys) {
  const r = {};
  for (const k of keys) if (o[k] !== undefined) r[k] = o[k];
  return r;
}
emit('loaded');
window.__loaded = true;
