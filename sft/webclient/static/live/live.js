/** The operator's live view. feed.js asks, model.js reckons, the others draw. */

import { Calls } from './calls.js';
import { byId, setLevel, setText } from './draw.js';
import { Feed } from './feed.js';
import { BAD, FINE, POOR } from './health.js';
import { Model } from './model.js';
import { Summary } from './summary.js';
import { age } from './text.js';
import { Workers } from './workers.js';

const model = new Model();
const SILENCES = {
  unreachable: 'The server does not answer',
  stuck: 'The numbers stand still',
  strange: 'The server says what this page does not know: reload it',
};
const parts = [new Summary(), new Workers(), new Calls()];

function announce(text, level) {
  setText(byId('state'), text);
  setLevel(byId('state'), level);
}

function draw(state) {
  const view = model.take(state, performance.now());
  for (const part of parts) part.draw(view);
  byId('main').setAttribute('aria-busy', 'false');
  document.body.classList.remove('stale');
  announce(state.state === 'running' ? 'Running' : 'Draining', state.state === 'running' ? FINE : POOR);
  setText(byId('since'), `up ${age(state.uptime)}`);
  const [, poor, bad] = view.totals.counts;
  document.title = bad + poor ? `${bad + poor} in trouble – sft live` : 'sft live';
}

function drawSilence(why, seconds) {
  if (seconds < 2) return;
  document.body.classList.add('stale');
  announce(SILENCES[why], BAD);
  setText(byId('since'), `these numbers are ${age(seconds)} old`);
  document.title = 'no answer – sft live';
}

new Feed('live/state', draw, drawSilence).run();
