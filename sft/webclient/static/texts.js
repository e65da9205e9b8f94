/** What the page tells people when something is wrong: a title and what they can do. */

export const JOIN_PROBLEMS = {
  unreachable: ['The server cannot be reached', 'Check your network connection, then try again.'],
  http: ['The server has a problem', 'It answered with an error. Try again in a moment.'],
  protocol: ['The server said something unexpected', 'It may be another kind of server, or of another version.'],
  'media-unreachable': [
    'No path for sound and picture',
    'The server answers, but the call’s media do not get through. A firewall may be in the way.',
  ],
  outdated: ['This page is out of date', 'Reload it. If that does not help, tell whoever runs the server.'],
  'login-invalid': ['You need to log in', 'The server asks for credentials, and the ones given are not valid.'],
  'login-expired': ['Your login has expired', 'Get a new link or log in again where you got it.'],
  full: ['The call is full', 'The server has no room for another participant. Try again later.'],
  'may-not-start': ['You may not start this call', 'Your login lets you join calls, not start them. Wait until somebody else has.'],
  refused: ['The server refused', 'It gave a reason this page does not know.'],
};

export const MEDIA_PROBLEMS = {
  'no-devices': 'No microphone and no camera were found. You can join and listen, or send a test picture.',
  'no-microphone': 'No microphone was found. The others will not hear you.',
  'no-camera': 'No camera was found. You can join without one.',
  denied: 'The browser may not use your microphone or camera. Allow it in the address bar, then reload this page.',
  'denied-microphone': 'The browser may not use your microphone. Allow it in the address bar, then reload this page.',
  'denied-camera': 'The browser may not use your camera. Allow it in the address bar to be seen.',
  'in-use': 'Another program is using your microphone or camera. Close it, then choose the device again.',
  failed: 'Microphone or camera could not be started.',
};

/** Why this browser cannot take part at all, or null. */
export function browserProblem() {
  if (!globalThis.isSecureContext || !globalThis.crypto?.subtle) {
    return [
      'This page needs a secure connection',
      'Browsers give cameras and encryption only to pages served by https (or from localhost). Open this page by https.',
    ];
  }
  const chromium = navigator.userAgentData?.brands.some(({ brand }) => brand === 'Chromium');
  if (!chromium && !/ (Chrome|Chromium)\//.test(navigator.userAgent)) {
    return [
      'This browser is not supported yet',
      'The call works in Chromium, Chrome, Edge and other browsers built on Chromium. Firefox and Safari are not supported yet.',
    ];
  }
  if (!('RTCRtpScriptTransform' in globalThis)) {
    return ['This browser is too old', 'It cannot encrypt calls end to end. Please update it.'];
  }
  return null;
}

/** @param {number} strangers others with another secret @param {number} friends others with ours */
export function secretProblem(strangers, friends) {
  if (strangers === 0) return '';
  const people = strangers === 1 ? 'One other person is' : `${strangers} others are`;
  if (friends === 0) {
    return `${people} here with a different link. You cannot hear or see each other: check that you all opened the whole link, also the part after the #.`;
  }
  return `${people} here with a different link, and cannot hear or see you.`;
}

/** @param {string | null} code of the newest 'failure' event */
export function failureText(code) {
  if (!code) return '';
  if (code === 'authentication') {
    return 'What somebody sends cannot be decrypted and is not played. Their link may differ from yours.';
  }
  return 'Something arrives that nobody here has sent in this way. It is not played. The server may be at fault.';
}
