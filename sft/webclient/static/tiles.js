/** The grid of people. */

import { byId } from './dom.js';

export const MAX_VIDEOS = 9;
const SPEAKING = 0.02; // level from which somebody counts as speaking
const STILL = 4000; // ms without a new frame: the server pauses pictures that our network does not carry

export class Tiles {
  #grid = byId('grid');
  #template = byId('tile');
  #tiles = new Map(); // userid -> li
  #moved = new Map(); // userid -> {frames, when}: of the picture, when there last was a new one
  #large = null; // userid
  #onchange;

  /** @param {() => void} onchange the large tile changed */
  constructor(onchange) {
    this.#onchange = onchange;
    window.addEventListener('resize', () => this.#arrange());
  }

  /** Userid of the tile that was made large, or null. */
  get large() {
    return this.#large;
  }

  has(userid) {
    return this.#tiles.has(userid);
  }

  /** The video element of somebody's tile. */
  videoOf(userid) {
    return this.#tiles.get(userid)?.querySelector('video') ?? null;
  }

  isSpeaking(userid) {
    return this.#tiles.get(userid)?.classList.contains('speaking') ?? false;
  }

  /**
   * @param {{userid, name, track, mirrored, screen, muted, note, self}[]} people in order, oneself first
   */
  draw(people) {
    const present = new Set(people.map(({ userid }) => userid));
    for (const [userid, tile] of this.#tiles) {
      if (present.has(userid)) continue;
      tile.remove();
      this.#tiles.delete(userid);
      this.#moved.delete(userid);
      if (this.#large === userid) this.#large = null;
    }
    for (const person of people) this.#drawOne(person);
    this.#arrange();
  }

  #drawOne(person) {
    let tile = this.#tiles.get(person.userid);
    if (!tile) {
      tile = this.#template.content.firstElementChild.cloneNode(true);
      tile.querySelector('.tile-button').onclick = () => this.#toggleLarge(person.userid);
      tile.querySelector('.avatar').style.setProperty('--hue', hueOf(person.userid));
      this.#tiles.set(person.userid, tile);
      this.#grid.append(tile);
    }
    const video = tile.querySelector('video');
    if ((video.srcObject?.getVideoTracks()[0] ?? null) !== person.track) {
      video.srcObject = person.track && new MediaStream([person.track]);
    }
    tile.classList.toggle('has-video', Boolean(person.track));
    tile.classList.toggle('mirrored', person.mirrored);
    tile.classList.toggle('is-screen', person.screen);
    tile.classList.toggle('is-muted', person.muted);
    tile.querySelector('.name').textContent = person.self ? `${person.name} (you)` : person.name;
    tile.querySelector('.avatar').textContent = initials(person.name);
    tile.classList.toggle('may-pause', Boolean(person.track) && !person.self && !person.screen);
    this.#setNote(tile, 'note', person.note);
    this.#describe(tile, person);
  }

  #describe(tile, { userid, name, self, muted, screen, track, note }) {
    const facts = [self ? `${name}, you` : name, muted ? 'muted' : '', screen ? 'shares the screen' : ''];
    facts.push(track ? '' : 'no picture', note);
    const button = tile.querySelector('.tile-button');
    button.setAttribute('aria-label', facts.filter(Boolean).join(', '));
    button.setAttribute('aria-pressed', String(this.#large === userid));
  }

  #setNote(tile, which, text) {
    const note = tile.querySelector(`.${which}`);
    note.hidden = !text;
    if (note.textContent !== text) note.textContent = text;
  }

  /** Mark the pictures that stand still. Nothing moves in a page that is not shown, nor on a shared screen. */
  markPaused(now = performance.now()) {
    for (const [userid, tile] of this.#tiles) {
      const frames = tile.querySelector('video').getVideoPlaybackQuality().totalVideoFrames;
      const watched = tile.classList.contains('may-pause') && !document.hidden && frames > 0;
      const before = this.#moved.get(userid);
      if (!watched || frames !== before?.frames) this.#moved.set(userid, { frames, when: now });
      const still = now - this.#moved.get(userid).when > STILL;
      this.#setNote(tile, 'paused', still ? 'Picture paused' : '');
    }
  }

  /** @param {Map<string, number>} levels userid to 0..1 */
  setLevels(levels) {
    for (const [userid, tile] of this.#tiles) {
      tile.classList.toggle('speaking', (levels.get(userid) ?? 0) > SPEAKING);
    }
  }

  #toggleLarge(userid) {
    this.#large = this.#large === userid ? null : userid;
    this.#arrange();
    this.#onchange();
  }

  #arrange() {
    const count = this.#tiles.size;
    for (const [userid, tile] of this.#tiles) {
      tile.classList.toggle('large', this.#large === userid);
      tile.querySelector('.tile-button').setAttribute('aria-pressed', String(this.#large === userid));
    }
    this.#grid.classList.toggle('has-large', this.#large !== null);
    this.#grid.style.setProperty('--small', Math.max(1, Math.min(count - 1, 6)));
    const columns = bestColumns(count, this.#grid.clientWidth, this.#grid.clientHeight);
    this.#grid.style.setProperty('--columns', columns);
    // The grid has two columns for each tile, so that an incomplete last row can stand in the middle.
    const rest = count % columns;
    let index = 0;
    for (const tile of this.#tiles.values()) {
      const opensLastRow = rest > 0 && index === count - rest;
      tile.style.setProperty('--column', opensLastRow ? `${columns - rest + 1} / span 2` : 'span 2');
      index++;
    }
  }
}

/** The number of columns at which `count` pictures of 16:10 get largest. */
function bestColumns(count, width, height) {
  let best = 1;
  let bestWidth = 0;
  for (let columns = 1; columns <= count; columns++) {
    const tile = Math.min(width / columns, (height / Math.ceil(count / columns)) * 1.6);
    if (tile > bestWidth * 1.01) [best, bestWidth] = [columns, tile];
  }
  return best;
}

function initials(name) {
  const words = name.split(' ').filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : ''].map((word) => Array.from(word ?? '')[0] ?? '').join('').toUpperCase();
}

function hueOf(userid) {
  return parseInt(userid.slice(0, 4), 16) % 360 || 160;
}
