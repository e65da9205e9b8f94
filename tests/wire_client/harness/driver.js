// Chromium with Wire clients in it, and the part of Wire's backend that stands between them.
import {chromium} from 'playwright-core';
import {createServer} from 'node:http';
import {readFileSync} from 'node:fs';
import {randomBytes, randomUUID} from 'node:crypto';
import {join} from 'node:path';
import {bundle} from './build.js';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
];
const BACKEND_LATENCY = 20; // ms that an end-to-end message takes
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** One browser and the page server; many calls, one after another or at once. */
export class Browser {
  static async launch(executablePath) {
    const self = new Browser();
    const dist = await bundle();
    self.server = createServer((request, response) => {
      const file = request.url === '/page.js' ? 'page.js' : 'index.html';
      response.writeHead(200, {'content-type': file.endsWith('.js') ? 'text/javascript' : 'text/html'});
      response.end(readFileSync(join(dist, file)));
    });
    await new Promise(resolve => self.server.listen(0, '127.0.0.1', resolve));
    self.origin = `http://127.0.0.1:${self.server.address().port}`;
    self.browser = await chromium.launch({executablePath, headless: true, ignoreDefaultArgs: ['--mute-audio'], args: FLAGS});
    self.devtools = await self.browser.newBrowserCDPSession();
    return self;
  }
  async close() {
    await this.browser.close();
    this.server.close();
  }
  async renderers() {
    const {processInfo} = await this.devtools.send('SystemInfo.getProcessInfo');
    return new Map(processInfo.filter(p => p.type === 'renderer').map(p => [p.id, p.cpuTime]));
  }
}

/** One conversation with its clients. */
export class Call {
  constructor(browser, options) {
    this.browser = browser;
    this.o = {clients: 2, strangers: 0, mls: false, env: 'default', domain: null, width: 640, height: 360, fps: 10, ...options};
    this.clients = [];
    this.strangers = []; // further members of the conversation, whom the test itself brings into the call
    this.events = []; // {client, t, kind, ...}
    this.e2e = [];
    this.epoch = {number: 0, key: null, members: new Set()};
    this.conversation = this.qualify(randomUUID());
  }
  qualify(id) {
    return this.o.domain ? `${id}@${this.o.domain}` : id;
  }
  callConfig() {
    // as GET /calls/config/v2 answers; ice_servers must not be empty, or the library places a mesh call
    const entry = {urls: [this.o.sft], ...(this.o.username ? {username: this.o.username, credential: this.o.credential} : {})};
    return {
      ice_servers: [{urls: ['turn:127.0.0.1:3478?transport=udp'], username: 'u', credential: 'c'}],
      sft_servers: [{urls: [this.o.sft]}],
      sft_servers_all: [entry],
      is_federating: false,
      ttl: 3600,
    };
  }
  async open() {
    const n = this.o.clients + this.o.strangers;
    for (let i = 0; i < n; i++) {
      const hue = Math.round((360 / Math.max(3, n)) * i);
      (i < this.o.clients ? this.clients : this.strangers).push({
        index: i,
        label: String.fromCharCode(65 + i),
        userid: this.qualify(randomUUID()),
        clientid: randomBytes(8).toString('hex'),
        hz: 420 + 170 * i,
        hue,
        screenHue: (hue + 45) % 360,
      });
    }
    await Promise.all(this.clients.map(c => this.openClient(c)));
    const clients = this.clients.map(({context, page, open, ...rest}) => rest);
    return {conversation: this.conversation, clients, strangers: this.strangers};
  }
  async openClient(c) {
    c.context = await this.browser.browser.newContext({permissions: ['microphone', 'camera']});
    c.page = await c.context.newPage();
    c.page.on('crash', () => this.record(c, [{t: Date.now(), kind: 'page-crash'}]));
    await c.page.exposeFunction('__backendSend', m => this.routeE2E(c, m));
    await c.page.exposeFunction('__reqClients', ({convid}) => this.pushClients(c, convid));
    await c.page.exposeFunction('__reqEpoch', () => this.pushEpoch(c));
    await c.page.goto(this.browser.origin);
    await c.page.waitForFunction('window.__loaded === true');
    const {width, height, fps} = this.o;
    const media = {width, height, fps, hz: c.hz, allHz: this.clients.map(x => x.hz), hue: c.hue, screenHue: c.screenHue};
    await c.page.evaluate(cfg => window.client.init(cfg), {
      userid: c.userid,
      clientid: c.clientid,
      label: c.label,
      env: this.o.env,
      mls: this.o.mls,
      cbr: false,
      autoRequestVideo: true,
      callConfig: this.callConfig(),
      media,
    });
    c.open = true;
    await this.drain(c);
  }
  record(c, events) {
    for (const e of events) this.events.push({client: c.label, ...e});
  }
  async drain(c) {
    if (c.open) this.record(c, await c.page.evaluate(() => window.__drain()).catch(() => []));
  }

  // ---- the backend between clients
  async routeE2E(from, m) {
    let to = this.clients.filter(c => c !== from && c.open);
    if (m.targets) {
      const wanted = new Set((m.targets.clients ?? []).map(x => `${x.userid}.${x.clientid}`));
      to = to.filter(c => wanted.has(`${c.userid}.${c.clientid}`));
    } else if (m.myClientsOnly) {
      to = to.filter(c => c.userid === from.userid);
    }
    this.e2e.push({t: Date.now(), from: from.label, to: to.map(c => c.label), data: m.data});
    const time = Math.floor(Date.now() / 1000);
    await sleep(BACKEND_LATENCY);
    const message = {convid: m.convid, data: m.data, time, now: Math.floor(Date.now() / 1000), userid: from.userid, clientid: from.clientid};
    for (const c of to) c.page.evaluate(x => window.client.recv(x), message).catch(() => {});
  }
  async pushClients(c, convid = this.conversation) {
    await sleep(10);
    const list = [...this.clients, ...this.strangers].map(x => ({userid: x.userid, clientid: x.clientid}));
    if (c.open) await c.page.evaluate(([v, l]) => window.client.setClients(v, l), [convid, list]);
  }
  // MLS stand-in: one secret per epoch, known to whoever is in the subconversation
  async changeMembers(c, joins) {
    const {members} = this.epoch;
    joins ? members.add(c) : members.delete(c);
    this.epoch.number++;
    this.epoch.key = randomBytes(32).toString('base64');
    await Promise.all([...members].map(m => this.pushEpoch(m)));
  }
  async pushEpoch(c) {
    const {number, key, members} = this.epoch;
    if (!key || !c.open || !members.has(c)) return;
    const clients = this.clients.map(x => ({userid: x.userid, clientid: x.clientid, in_subconv: members.has(x)}));
    for (const {userid, clientid} of this.strangers) clients.push({userid, clientid, in_subconv: true});
    await c.page.evaluate(([v, n, l, k]) => window.client.setEpoch(v, n, l, k), [this.conversation, number, clients, key]).catch(() => {});
  }

  // ---- what a person does
  async start(c, {video = false} = {}) {
    if (this.o.mls) await this.changeMembers(c, true);
    await c.page.evaluate(([v, o]) => window.client.start(v, o), [this.conversation, {video}]);
    if (this.o.mls) await this.pushEpoch(c);
  }
  async answer(c, {video = false} = {}) {
    await c.page.waitForFunction(v => !!(window.__st.convs.get(v) ?? {}).incoming, this.conversation, {timeout: 20000});
    if (this.o.mls) await this.changeMembers(c, true);
    else await this.pushClients(c);
    await c.page.evaluate(([v, o]) => window.client.answer(v, o), [this.conversation, {video}]);
    if (this.o.mls) await this.pushEpoch(c);
  }
  async leave(c) {
    await c.page.evaluate(v => window.client.end(v), this.conversation);
    if (this.o.mls) await this.changeMembers(c, false);
  }
  mute(c, {muted}) {
    return c.page.evaluate(m => window.client.setMute(m), muted);
  }
  video(c, {state}) {
    return c.page.evaluate(([v, s]) => window.client.setVideoState(v, s), [this.conversation, state]);
  }
  request(c, {quality, users}) {
    return c.page.evaluate(([v, q, u]) => window.client.requestVideo(v, q, u), [this.conversation, quality, users ?? null]);
  }
  /** The renderer process of a page, found by the CPU time it burns. */
  async kill(c) {
    await this.drain(c);
    const before = await this.browser.renderers();
    await c.page.evaluate(() => {
      for (const end = performance.now() + 400; performance.now() < end; );
    });
    const burnt = [...(await this.browser.renderers())].map(([pid, cpu]) => [pid, cpu - (before.get(pid) ?? 0)]);
    burnt.sort((a, b) => b[1] - a[1]);
    c.open = false;
    process.kill(burnt[0][0], 'SIGKILL');
    return burnt[0][0];
  }
  async look(c) {
    await this.drain(c);
    if (!c.open) return null;
    const [summary, stats] = await Promise.all([
      c.page.evaluate(() => window.client.summary()),
      c.page.evaluate(() => window.client.stats()),
    ]);
    return {summary, stats, events: this.events.filter(e => e.client === c.label).length};
  }
  async close() {
    for (const c of this.clients) {
      await this.drain(c);
      c.open = false;
      await c.context.close().catch(() => {});
    }
  }
}
