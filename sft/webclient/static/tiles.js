/** The grid of people. */

import { byId } from './dom.js';

export const MAX_VIDEOS = 9;
const SPEAKING = 0.02; // level from which somebody counts as speaking

export class Tiles {
  #grid = byId('grid');
  #template = byId('tile');
  #tiles = new Map(); // userid -> li
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
    const note = tile.querySelector('.note');
    note.hidden = !person.note;
    note.textContent = person.note;
    this.#describe(tile, person);
  }

  #describe(tile, { userid, name, self, muted, screen, track, note }) {
    const facts = [self ? `${name}, you` : name, muted ? 'muted' : '', screen ? 'shares the screen' : ''];
    facts.push(track ? '' : 'no picture', note);
    const button = tile.querySelector('.tile-button');
    button.setAttribute('aria-label', facts.filter(Boolean).join(', '));
    button.setAttribute('aria-pressed', String(this.#large === userid));
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
