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

/** A track with a figure in shades of `hue` degrees that sways, and wears the name that `name()` gives. */
export function pictureTrack({ hue, width, height, fps, name }) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const paint = canvas.getContext('2d', { alpha: false });
  const ground = paint.createLinearGradient(0, 0, width, height);
  ground.addColorStop(0, `hsl(${hue} 50% 52%)`);
  ground.addColorStop(1, `hsl(${hue} 60% 30%)`);
  const middle = width / 2;
  let frame = 0;
  const draw = () => {
    const sway = Math.sin((2 * Math.PI * frame) / (4 * fps)) * height * 0.04;
    paint.fillStyle = ground;
    paint.fillRect(0, 0, width, height);
    paint.fillStyle = `hsl(${hue} 55% 72%)`;
    paint.beginPath();
    paint.arc(middle + sway, height * 0.38, height * 0.17, 0, 2 * Math.PI);
    paint.ellipse(middle + sway / 2, height, height * 0.42, height * 0.38, 0, 0, 2 * Math.PI);
    paint.fill();
    paint.fillStyle = `hsl(${hue} 60% 25%)`;
    paint.font = `600 ${Math.round(height / 9)}px system-ui, sans-serif`;
    paint.textAlign = 'center';
    paint.fillText(name(), middle + sway / 2, height * 0.86, height * 0.7);
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
