/** The screen before the call: name, devices, a look in the mirror. */

import { byId, fillDevices, setToggle, shortcuts, show } from './dom.js';
import { recall, remember } from './local-devices.js';
import { MEDIA_PROBLEMS } from './texts.js';

const NAME_KEY = 'sft.name';

/** Which text fits the problems of both kinds, or ''. */
export function mediaProblem({ audioinput, videoinput }) {
  if (audioinput && audioinput === videoinput) {
    return MEDIA_PROBLEMS[{ none: 'no-devices', denied: 'denied', 'in-use': 'in-use' }[audioinput] ?? 'failed'];
  }
  const text = (problem, kind) =>
    MEDIA_PROBLEMS[{ none: `no-${kind}`, denied: `denied-${kind}`, 'in-use': 'in-use' }[problem] ?? 'failed'];
  if (audioinput) return text(audioinput, 'microphone');
  return videoinput ? text(videoinput, 'camera') : '';
}

/**
 * @param {string} callName @param {LocalDevices} devices @param {object} options of the address
 * @param {() => object} makeSynthetic options of a generated picture and tone
 * @returns {Promise<string>} the name, once the user wants to join
 */
export async function prejoin(callName, devices, options, makeSynthetic) {
  show('prejoin');
  document.title = `Join ${callName}`;
  byId('prejoin-call').textContent = callName;
  byId('your-name').value = options.name || recall(NAME_KEY);
  devices.addEventListener('change', () => draw(devices));
  for (const select of [byId('pre-microphones'), byId('pre-cameras')]) {
    select.onchange = () => devices.choose(select.dataset.kind, select.value);
  }
  byId('pre-mic').onclick = () => devices.setMuted(!devices.muted);
  byId('pre-camera').onclick = () => devices.setCamera(!devices.cameraWanted);
  byId('use-test-picture').onclick = () => devices.useSynthetic(makeSynthetic());
  shortcuts('prejoin', { m: byId('pre-mic'), v: byId('pre-camera') });
  const meter = setInterval(() => byId('meter').style.setProperty('--level', devices.level().toFixed(2)), 100);
  draw(devices);
  (byId('your-name').value ? byId('join') : byId('your-name')).focus();
  const started = devices.start({ camera: options.camera });

  await new Promise((resolve) => {
    byId('join-form').onsubmit = (event) => {
      event.preventDefault();
      resolve();
    };
    if (options.autojoin) started.then(resolve);
  });
  byId('join').disabled = true;
  await started;
  byId('join').disabled = false;
  clearInterval(meter);
  const name = byId('your-name').value.trim() || 'Guest';
  if (!options.name) remember(NAME_KEY, name);
  return name;
}

function draw(devices) {
  const preview = byId('preview');
  if (preview.srcObject?.getVideoTracks()[0] !== devices.video) {
    preview.srcObject = devices.video && new MediaStream([devices.video]);
  }
  preview.hidden = !devices.video;
  preview.classList.toggle('mirrored', !devices.isSynthetic);
  byId('preview-note').hidden = Boolean(devices.video);
  byId('preview-note').textContent = devices.cameraWanted && devices.problems.videoinput ? 'No picture' : 'Camera is off';
  setToggle(byId('pre-mic'), Boolean(devices.audio) && !devices.muted, 'mic', 'Microphone');
  setToggle(byId('pre-camera'), Boolean(devices.video), 'camera', 'Camera');
  const generated = devices.isSynthetic;
  fillDevices(byId('pre-microphones'), devices.lists.audioinput, devices.chosen('audioinput'), generated ? 'Test tone' : 'No microphone found');
  fillDevices(byId('pre-cameras'), devices.lists.videoinput, devices.chosen('videoinput'), generated ? 'Test picture' : 'No camera found');
  const problem = mediaProblem(devices.problems);
  byId('media-problem').hidden = !problem;
  byId('media-problem').querySelector('p').textContent = problem;
}
