/** A generated picture and tone, for tests and for people without camera or microphone. */

/** One AudioContext for all tones and meters of the page. */
let context = null;
export function audioContext() {
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume();
  return context;
}

/** A track with a sine of `tone` Hz. */
export function toneTrack(tone) {
  const audio = audioContext();
  const oscillator = new OscillatorNode(audio, { frequency: tone });
  const gain = new GainNode(audio, { gain: 0.2 });
  const output = new MediaStreamAudioDestinationNode(audio);
  oscillator.connect(gain).connect(output);
  oscillator.start();
  const [track] = output.stream.getAudioTracks();
  const stop = track.stop.bind(track);
  track.stop = () => {
    oscillator.stop();
    stop();
  };
  return track;
}

/** A track with a full colour of `hue` degrees, a moving bar, and the name that `name()` gives. */
export function pictureTrack({ hue, width, height, fps, name }) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const paint = canvas.getContext('2d', { alpha: false });
  let frame = 0;
  const draw = () => {
    paint.fillStyle = `hsl(${hue} 80% 45%)`;
    paint.fillRect(0, 0, width, height);
    paint.fillStyle = `hsl(${hue} 80% 35%)`;
    paint.fillRect(((frame * 4) % (width + 40)) - 40, 0, 40, height);
    paint.fillStyle = '#fff';
    paint.font = `600 ${Math.round(height / 9)}px system-ui, sans-serif`;
    paint.textAlign = 'center';
    paint.fillText(name(), width / 2, height * 0.55, width * 0.9);
    frame++;
  };
  draw();
  const timer = setInterval(draw, 1000 / fps);
  const [track] = canvas.captureStream(fps).getVideoTracks();
  const stop = track.stop.bind(track);
  track.stop = () => {
    clearInterval(timer);
    stop();
  };
  return track;
}
