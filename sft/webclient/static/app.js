/** The page: start page, the screen before the call, the call, the end. See address.js for options. */

import { callName, callUrl, hasTurn, login, options as readOptions, randomName, serverUrl, takeSecret } from './address.js';
import { CallScreen } from './call.js';
import { announce, byId, show } from './dom.js';
import { LocalDevices } from './local-devices.js';
import { prejoin } from './prejoin.js';
import { formatSecret, newSecret } from './secrets.js';
import { SftClient, SftError } from './sft-client.js';
import { installTestHooks } from './test-hooks.js';
import { JOIN_PROBLEMS, browserProblem } from './texts.js';

function end(title, text, again = 'Join again') {
  show('end');
  document.title = title;
  byId('end-title').textContent = title;
  byId('end-text').textContent = text;
  byId('again').textContent = again;
  byId('again').hidden = !again;
  byId('again').onclick = () => location.reload();
  byId('home').href = callUrl('').replace(/\/c\/$|\?call=$/, '');
  byId('end-title').focus();
  announce(title);
}

function landing() {
  show('landing');
  const enter = (url) => location.assign(url);
  byId('new-call').onclick = () => enter(callUrl(randomName(), formatSecret(newSecret())));
  byId('named-call').onsubmit = (event) => {
    event.preventDefault();
    const text = byId('call-name').value.trim();
    let link = null;
    try {
      link = new URL(text);
    } catch {
      // not a link: a name
    }
    const name = link ? callName(link) : text;
    if (name) enter(callUrl(name, link?.hash.slice(1) ?? ''));
  };
}

async function call() {
  const name = callName();
  const secret = takeSecret();
  if (!secret) {
    return end('This link is not complete', 'The part after the # is cut off or changed. Ask for the link again.', '');
  }
  const options = readOptions();
  let yourName = options.name || 'Guest';
  const makeSynthetic = () => ({ ...options, name: () => yourName });
  const devices = new LocalDevices(options.synthetic ? makeSynthetic() : null);
  devices.setMuted(options.muted);
  const hooks = { forced: false };
  const client = await SftClient.create({
    server: serverUrl(),
    callName: name,
    secret,
    name: yourName,
    approve: (participant) => hooks.forced || participant.sealed === 'open',
    logFrames: options.synthetic,
    turn: hasTurn(),
    ...login(),
  });
  byId('about-code').textContent = client.verificationCode;
  byId('about-code-part').hidden = false;

  yourName = await prejoin(name, devices, options, makeSynthetic);
  await client.setName(yourName);
  document.title = name;
  const screen = new CallScreen(client, devices, yourName, name);
  if (options.synthetic) installTestHooks({ client, screen, hooks, options });
  try {
    await screen.run();
    end('You have left the call', `The call “${name}” may still go on.`);
  } catch (error) {
    if (!(error instanceof SftError)) throw error;
    if (error.code === 'left') return end('You have left the call', '');
    end(...(JOIN_PROBLEMS[error.code] ?? JOIN_PROBLEMS.refused), 'Try again');
  } finally {
    devices.stop();
  }
}

const problem = browserProblem();
for (const button of document.querySelectorAll('[data-about]')) {
  button.onclick = () => byId('about-dialog').showModal();
}
// Back from the browser's cache of left pages: the call is over by then.
window.addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
window.addEventListener('hashchange', () => location.reload());

if (problem) end(...problem, '');
else if (callName()) call();
else landing();
