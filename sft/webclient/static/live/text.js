/** Numbers as people read them, in as many letters whatever they are. */

const NONE = '–';

/** Bytes a second as bits a second. */
export function bitrate(bytes) {
  if (bytes === null) return NONE;
  const bits = bytes * 8;
  if (bits >= 999.5e6) return `${(bits / 1e9).toFixed(2)} Gbit/s`;
  if (bits >= 99.95e6) return `${(bits / 1e6).toFixed(0)} Mbit/s`;
  if (bits >= 999.5e3) return `${(bits / 1e6).toFixed(1)} Mbit/s`;
  return `${(bits / 1e3).toFixed(0)} kbit/s`;
}

export const percent = (share) => (share === null ? NONE : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`);

export const milliseconds = (seconds) => (seconds === null ? NONE : `${(seconds * 1000).toFixed(0)} ms`);

export function memory(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;
}

export function count(number) {
  return number === null ? NONE : Math.round(number).toLocaleString('en');
}

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** Seconds, in the two units that tell most. */
export function age(seconds) {
  const units = [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return '0 s';
  const [name, size] = units[first];
  const text = `${Math.floor(seconds / size)} ${name}`;
  if (first === units.length - 1 || name === 'min') return text;
  const [lesser, part] = units[first + 1];
  return `${text} ${Math.floor((seconds % size) / part)} ${lesser}`;
}
