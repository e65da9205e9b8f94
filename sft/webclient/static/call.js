/** The screen of the call: ties SftClient, the devices and the tiles together. */

import { invitation } from './address.js';
import { announce, byId, fillDevices, setIcon, setToggle, shortcuts, show, toast } from './dom.js';
import { QUALITY } from './sft-client.js';
import { failureText, secretProblem } from './texts.js';
import { MAX_VIDEOS, Tiles } from './tiles.js';

const LEVELS_EVERY = 200; // ms
const FAILURE_SHOWN = 5000; // ms a failure is shown after its last report

export class CallScreen {
  #client;
  #devices;
  #name;
  #players = []; // one audio element per audio slot
  #timers = [];
  #known = new Map(); // userid -> name, to tell who comes and goes
  #failure = null; // code
  #failureUntil = 0;
  #sent = { audio: null, video: null, muted: false };

  tiles = new Tiles(() => this.#requestVideo());

  constructor(client, devices, name, callName) {
    this.#client = client;
    this.#devices = devices;
    this.#name = name;
    byId('call-title').textContent = callName;
    byId('code').textContent = client.verificationCode;
    byId('lock').title = 'End-to-end encrypted. Everybody with the same link sees this code. More …';
    byId('lock').setAttribute('aria-label', `End-to-end encrypted, code ${client.verificationCode}. About encryption`);
  }

  /** Join, stay until it is over. Rejects with SftError; resolves when the user leaves. */
  async run() {
    this.#wire();
    show('call');
    this.#draw();
    this.#drawState();
    await this.#sendTracks();
    try {
      await this.#client.join();
      announce('You are in the call.');
      await new Promise((resolve, reject) => {
        const over = () => {
          if (this.#client.state === 'closed') (this.#client.error ? reject : resolve)(this.#client.error);
        };
        this.#client.addEventListener('state', over);
        over();
      });
    } finally {
      this.#timers.forEach(clearInterval);
      for (const dialog of document.querySelectorAll('dialog')) dialog.close();
    }
  }

  #wire() {
    const client = this.#client;
    client.addEventListener('state', () => this.#drawState());
    client.addEventListener('roster', () => this.#rosterChanged());
    client.addEventListener('slots', () => this.#draw());
    client.addEventListener('failure', ({ detail }) => {
      this.#failure = detail.code;
      this.#failureUntil = performance.now() + FAILURE_SHOWN;
    });
    this.#devices.addEventListener('change', () => this.#devicesChanged());
    byId('mute').onclick = () => this.#devices.setMuted(!this.#devices.muted);
    byId('camera').onclick = () => this.#devices.setCamera(!this.#devices.cameraWanted);
    byId('share').onclick = () => this.#toggleScreen();
    byId('leave').onclick = () => client.leave();
    byId('copy-link').onclick = byId('alone-link').onclick = () => copyLink();
    byId('settings').onclick = () => byId('settings-dialog').showModal();
    for (const select of [byId('microphones'), byId('cameras')]) {
      select.onchange = () => this.#devices.choose(select.dataset.kind, select.value);
    }
    shortcuts('call', { m: byId('mute'), v: byId('camera'), s: byId('share') });
    window.addEventListener('online', () => client.retryNow());
    window.addEventListener('pagehide', () => client.hangUp());
    this.#timers.push(setInterval(() => this.#drawLevels(), LEVELS_EVERY));
  }

  // What we send -------------------------------------------------------------------------------------

  async #toggleScreen() {
    if (this.#devices.screen) this.#devices.stopScreen();
    else if (!(await this.#devices.startScreen())) toast('The screen is not shared.');
  }

  #devicesChanged() {
    this.#draw();
    this.#sendTracks();
  }

  async #sendTracks() {
    const devices = this.#devices; // looked at anew after waiting: it may have changed, and been sent, meanwhile
    if (devices.audio !== this.#sent.audio) {
      this.#sent.audio = devices.audio;
      await this.#client.setAudioTrack(devices.audio);
    }
    if (devices.muted !== this.#sent.muted) {
      this.#sent.muted = devices.muted;
      this.#client.setMuted(devices.muted || !devices.audio);
    }
    const { screen } = devices;
    const picture = screen ?? devices.video;
    if (picture !== this.#sent.video) {
      this.#sent.video = picture;
      await this.#client.setVideoTrack(picture, { screen: Boolean(screen) });
    }
  }

  // What we get --------------------------------------------------------------------------------------

  #rosterChanged() {
    const others = this.#client.participants.filter((participant) => this.#client.approves(participant));
    const now = new Map(others.map(({ userid, name }) => [userid, name ?? 'Somebody']));
    for (const [userid, name] of now) if (!this.#known.has(userid)) toast(`${name} is here`);
    for (const [userid, name] of this.#known) if (!now.has(userid)) toast(`${name} has left`);
    this.#known = now;
    this.#requestVideo();
    this.#draw();
  }

  /** The first nine with a picture; the large one in front. */
  #requestVideo() {
    const seen = this.#client.participants.filter((one) => one.video && this.#client.approves(one));
    const { large } = this.tiles;
    seen.sort((a, b) => Number(b.userid === large) - Number(a.userid === large));
    const few = this.#known.size <= 2;
    this.#client.requestVideo(
      seen.slice(0, MAX_VIDEOS).map(({ userid }) => ({
        userid,
        quality: few || userid === large ? QUALITY.high : QUALITY.low,
      })),
    );
    this.#draw();
  }

  #draw() {
    const devices = this.#devices;
    const own = devices.screen ?? devices.video;
    const people = [
      {
        userid: this.#client.userid,
        name: this.#name,
        self: true,
        track: own,
        mirrored: !devices.isSynthetic && !devices.screen,
        screen: Boolean(devices.screen),
        muted: devices.muted || !devices.audio,
        note: '',
      },
      ...this.#client.participants.filter(({ isSelf }) => !isSelf).map((other) => this.#person(other)),
    ];
    this.tiles.draw(people);
    this.#playAudio();
    this.#drawControls();
    this.#drawBanner();
    const others = people.length - 1;
    byId('count').textContent = people.length;
    byId('count').setAttribute('aria-label', `${people.length} in the call`);
    byId('alone').hidden = others > 0 || this.#client.state !== 'connected';
  }

  #person(other) {
    const { userid, sealed, video, screen, muted } = other;
    const note = { failed: 'Has a different link', pending: 'Connecting …' }[sealed] ?? '';
    const track = video ? this.#client.videoTrackOf(userid) : null;
    return { userid, name: other.name ?? 'Somebody', track, mirrored: false, screen, muted, note, self: false };
  }

  /** All slots are played all the time: who is heard in which one changes with who speaks. */
  #playAudio() {
    const tracks = this.#client.audioTracks;
    while (this.#players.length < tracks.length) {
      const player = new Audio();
      player.autoplay = true;
      byId('audio').append(player);
      this.#players.push(player);
    }
    this.#players.forEach((player, index) => {
      const track = tracks[index] ?? null;
      if ((player.srcObject?.getAudioTracks()[0] ?? null) === track) return;
      player.srcObject = track && new MediaStream([track]);
    });
  }

  #drawLevels() {
    const levels = this.#client.levels();
    levels.set(this.#client.userid, this.#devices.level());
    this.tiles.setLevels(levels);
    this.tiles.markPaused();
    this.#drawBanner();
  }

  // The frame around it --------------------------------------------------------------------------------

  #drawControls() {
    const devices = this.#devices;
    const generated = devices.isSynthetic;
    setToggle(byId('mute'), Boolean(devices.audio) && !devices.muted, 'mic', 'Microphone');
    setToggle(byId('camera'), Boolean(devices.video), 'camera', 'Camera');
    const share = byId('share');
    share.setAttribute('aria-pressed', String(Boolean(devices.screen)));
    share.hidden = !generated && !navigator.mediaDevices.getDisplayMedia;
    setIcon(share, 'screen');
    const fill = (id, kind, nothing) => fillDevices(byId(id), devices.lists[kind], devices.chosen(kind), nothing);
    fill('microphones', 'audioinput', generated ? 'Test tone' : 'No microphone found');
    fill('cameras', 'videoinput', generated ? 'Test picture' : 'No camera found');
  }

  #drawState() {
    const state = this.#client.isInterrupted ? 'reconnecting' : this.#client.state;
    const text = { connecting: 'Connecting …', reconnecting: 'Connection lost, reconnecting …' }[state];
    const chip = byId('link-state');
    chip.hidden = !text;
    if (text && chip.textContent !== text) announce(text);
    if (!text && chip.textContent.includes('lost')) toast('Connected again');
    chip.textContent = text ?? '';
    this.#draw();
  }

  #drawBanner() {
    const others = this.#client.participants.filter(({ isSelf }) => !isSelf);
    const strangers = others.filter(({ sealed }) => sealed === 'failed').length;
    const friends = others.filter(({ sealed }) => sealed === 'open').length;
    const failure = performance.now() < this.#failureUntil ? this.#failure : null;
    const text = secretProblem(strangers, friends) || failureText(failure);
    const banner = byId('banner');
    const line = banner.querySelector('p');
    if (line.textContent !== text) line.textContent = text;
    banner.hidden = !text;
  }
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(invitation());
    toast('Link copied. Whoever has it can join.');
  } catch {
    toast('The browser does not let this page copy: copy the address instead.');
  }
}
