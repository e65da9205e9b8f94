/**
 * Microphone, camera and screen of this device, or their generated stand-ins.
 *
 * Events: 'change' when a track, a device list or a problem changed.
 */

import { audioContext, pictureTrack, toneTrack } from './synthetic.js';

const REMEMBERED = { audioinput: 'sft.microphone', videoinput: 'sft.camera' };
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class LocalDevices extends EventTarget {
  #synthetic; // options of the generated picture and tone, or null
  #wanted = { audioinput: true, videoinput: true };
  #analyser = null;

  /** Current tracks; null: off or not there. */
  audio = null;
  video = null;
  screen = null;
  muted = false;

  /** Why a kind could not be had: 'none' | 'denied' | 'in-use' | 'failed', or null. */
  problems = { audioinput: null, videoinput: null };
  /** Known devices of each kind. */
  lists = { audioinput: [], videoinput: [] };

  constructor(synthetic) {
    super();
    this.#synthetic = synthetic;
    navigator.mediaDevices.addEventListener('devicechange', () => this.#refreshLists());
  }

  get isSynthetic() {
    return this.#synthetic !== null;
  }

  get cameraWanted() {
    return this.#wanted.videoinput;
  }

  /** From now on generated picture and tone take the places of camera and microphone. */
  async useSynthetic(synthetic) {
    this.#synthetic = synthetic;
    await this.#restart('audioinput');
    if (this.#wanted.videoinput) await this.#restart('videoinput');
  }

  /** Ask for both at once (one prompt), else for what there is. */
  async start({ camera }) {
    this.#wanted.videoinput = camera;
    if (camera && !this.#synthetic) {
      try {
        const constraints = { audio: this.#constraints('audioinput'), video: this.#constraints('videoinput') };
        const stream = await navigator.mediaDevices.getUserMedia(constraints);
        this.#take('audioinput', stream.getAudioTracks()[0]);
        this.#take('videoinput', stream.getVideoTracks()[0]);
        return await this.#refreshLists();
      } catch {
        // One of them fails: find out which.
      }
    }
    await this.#reopen('audioinput');
    if (this.audio) this.#changed(); // what is wrong is told of both at once
    if (camera) await this.#reopen('videoinput');
    await this.#refreshLists();
  }

  /** Muted tracks go on, as silence. */
  setMuted(muted) {
    this.muted = muted;
    if (this.audio) this.audio.enabled = !muted;
    this.#changed();
  }

  async setCamera(on) {
    this.#wanted.videoinput = on;
    if (on) return this.#restart('videoinput');
    this.#take('videoinput', null);
    this.#changed();
  }

  /** Choose a device by its id. */
  async choose(kind, deviceId) {
    remember(REMEMBERED[kind], deviceId);
    if (kind === 'videoinput' && !this.#wanted.videoinput) return;
    await this.#restart(kind);
  }

  chosen(kind) {
    const track = kind === 'audioinput' ? this.audio : this.video;
    return track?.getSettings().deviceId ?? recall(REMEMBERED[kind]);
  }

  /** Start sharing the screen; false if the user or the browser refuses. */
  async startScreen() {
    try {
      this.screen = await this.#screenTrack();
    } catch {
      return false;
    }
    this.screen.contentHint = 'detail';
    this.screen.addEventListener('ended', () => this.stopScreen());
    this.#changed();
    return true;
  }

  async #screenTrack() {
    if (this.#synthetic) return pictureTrack({ ...this.#synthetic, hue: (this.#synthetic.hue + 180) % 360 });
    return (await navigator.mediaDevices.getDisplayMedia({ video: true, audio: false })).getVideoTracks()[0];
  }

  stopScreen() {
    this.screen?.stop();
    this.screen = null;
    this.#changed();
  }

  /** How loud our own microphone is now, 0..1. */
  level() {
    if (!this.#analyser || this.muted) return 0;
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    return Math.min(1, 4 * Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length));
  }

  stop() {
    for (const track of [this.audio, this.video, this.screen]) track?.stop();
    this.audio = this.video = this.screen = null;
  }

  #constraints(kind) {
    const deviceId = recall(REMEMBERED[kind]);
    return { ...(kind === 'audioinput' ? AUDIO : VIDEO), ...(deviceId ? { deviceId } : {}) };
  }

  async #restart(kind) {
    await this.#reopen(kind);
    await this.#refreshLists();
  }

  async #reopen(kind) {
    try {
      this.#take(kind, await this.#open(kind));
    } catch (error) {
      this.#take(kind, null);
      this.problems[kind] = problemOf(error);
    }
  }

  async #open(kind) {
    if (this.#synthetic) {
      return kind === 'audioinput' ? toneTrack(this.#synthetic.tone) : pictureTrack(this.#synthetic);
    }
    // Some drivers open a device only once.
    (kind === 'audioinput' ? this.audio : this.video)?.stop();
    const key = kind === 'audioinput' ? 'audio' : 'video';
    const stream = await navigator.mediaDevices.getUserMedia({ [key]: this.#constraints(kind) });
    return stream.getTracks()[0];
  }

  #take(kind, track) {
    const key = kind === 'audioinput' ? 'audio' : 'video';
    if (this[key] !== track) this[key]?.stop();
    this[key] = track;
    this.problems[kind] = null;
    if (!track) return;
    track.addEventListener('ended', () => {
      if (this[key] !== track) return; // we ended it
      this[key] = null;
      this.problems[kind] = 'none';
      this.#changed();
    });
    if (key === 'audio') {
      track.enabled = !this.muted;
      this.#measure(track);
    }
  }

  #measure(track) {
    const audio = audioContext();
    this.#analyser = new AnalyserNode(audio, { fftSize: 1024 });
    audio.createMediaStreamSource(new MediaStream([track])).connect(this.#analyser);
  }

  async #refreshLists() {
    const devices = this.#synthetic ? [] : await navigator.mediaDevices.enumerateDevices().catch(() => []);
    for (const kind of Object.keys(this.lists)) {
      this.lists[kind] = devices.filter((device) => device.kind === kind && device.deviceId);
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}

function problemOf({ name }) {
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'none';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
  if (name === 'NotReadableError' || name === 'AbortError') return 'in-use';
  return 'failed';
}

/** Local storage may be forbidden; then nothing is remembered. */
export function recall(key) {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // not remembered
  }
}
