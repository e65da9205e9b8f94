/**
 * What the page's address says.
 *
 *     /c/<call name>#<secret>            the call; also /?call=<call name>#<secret> (static hosting)
 *     #<secret>&username=..&credential=..  for servers that ask for a login; never in the query
 *
 * Query options, all optional:
 *     name=Ann          your name
 *     autojoin=1        join at once
 *     camera=0|1        join without or with the camera (default 1, with autojoin 0)
 *     muted=1           join muted
 *     synthetic=1       generated picture and tone in place of camera and microphone; window.sftTest exists
 *     hue=120           colour of the generated picture, degrees
 *     tone=440          frequency of the generated tone, Hz
 *     size=640x360      of the generated picture
 *     fps=15            of the generated picture
 *     tones=440,550     frequencies that sftTest.state() looks for in what is heard
 */

import { formatSecret, newSecret, parseSecret } from './secrets.js';

const FRAGMENT_SECRET = /^#([^&]*)/;

/** Base URL of the SFT. */
export function serverUrl() {
  return document.querySelector('meta[name="sft-server"]').content || location.origin;
}

/** Whether the SFT has TURN servers for us. */
export function hasTurn() {
  return document.querySelector('meta[name="sft-turn"]').content === 'yes';
}

/** Name of the call in the address, or '' on the landing page. */
export function callName(url = location) {
  const path = /\/c\/([^/]+)\/?$/.exec(url.pathname);
  try {
    return path ? decodeURIComponent(path[1]) : (new URLSearchParams(url.search).get('call') ?? '');
  } catch {
    return path[1];
  }
}

/**
 * The secret in the fragment; a new one is put there if there is none.
 * @returns {Uint8Array | null} null: there is something, but not a secret
 */
export function takeSecret() {
  const [, text] = FRAGMENT_SECRET.exec(location.hash) ?? ['', ''];
  if (text) return parseSecret(text);
  const secret = newSecret();
  history.replaceState(null, '', `${location.pathname}${location.search}#${formatSecret(secret)}`);
  return secret;
}

/** Address of a call: by path where the SFT serves the page, by query elsewhere. */
export function callUrl(name, fragment = '') {
  const url = new URL(location.origin);
  if (document.querySelector('meta[name="sft-server"]').content) {
    url.pathname = location.pathname;
    url.search = `?call=${encodeURIComponent(name)}`;
  } else {
    url.pathname = `/c/${encodeURIComponent(name)}`;
  }
  url.hash = fragment;
  return url.href;
}

/** The link to give to others: call and secret, no options and no login. */
export function invitation() {
  const [, text] = FRAGMENT_SECRET.exec(location.hash) ?? ['', ''];
  return callUrl(callName(), text);
}

export function login() {
  const fields = new URLSearchParams(location.hash.replace(FRAGMENT_SECRET, ''));
  return { username: fields.get('username') ?? '', credential: fields.get('credential') ?? '' };
}

export function options() {
  const query = new URLSearchParams(location.search);
  const number = (key, fallback) => (query.has(key) ? Number(query.get(key)) : fallback);
  const flag = (key, fallback) => (query.has(key) ? query.get(key) !== '0' : fallback);
  const [width, height] = (query.get('size') ?? '640x360').split('x').map(Number);
  const autojoin = flag('autojoin', false);
  return {
    name: query.get('name') ?? '',
    autojoin,
    camera: flag('camera', !autojoin),
    muted: flag('muted', false),
    synthetic: flag('synthetic', false),
    hue: number('hue', Math.floor(Math.random() * 360)),
    tone: number('tone', 330 + Math.floor(Math.random() * 400)),
    tones: (query.get('tones') ?? '').split(',').filter(Boolean).map(Number),
    fps: number('fps', 15),
    width,
    height,
  };
}

const WORDS = [
  'amber birch calm cedar clear cobalt copper coral dusky early fern frosty gentle golden hazel ivory jade light lilac linen maple misty mossy olive quiet rosy sandy silver slate still velvet warm'.split(' '),
  'badger bear crane curlew deer dove eagle falcon finch fox gull hare heron ibis jay kite lark lynx marten moth otter owl plover puffin raven robin seal sparrow swan tern vole wren'.split(' '),
  'bay bridge brook cliff coast cove creek dale delta dune field fjord ford forest garden glade grove harbor hill island lake lagoon meadow moor pond reef ridge river shore spring valley wood'.split(' '),
];

/** A readable name for a new call. It need not be secret: the secret is in the fragment. */
export function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return `${WORDS.map((words, index) => words[bytes[index] % words.length]).join('-')}-${10 + (bytes[3] % 90)}`;
}
