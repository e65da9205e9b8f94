/** Small helpers for the page. */

export const byId = (id) => document.getElementById(id);

/** Show one of the page's screens. */
export function show(id) {
  for (const screen of ['landing', 'prejoin', 'call', 'end']) byId(screen).hidden = screen !== id;
}

/** Say something to screen readers. */
export function announce(text) {
  byId('status').textContent = text;
}

let toastTimer = null;

/** Say something to everybody, for a moment. */
export function toast(text) {
  const element = byId('toast');
  element.textContent = text;
  element.classList.add('shown');
  announce(text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => element.classList.remove('shown'), 3500);
}

/** A round button of a device: pressed is on. */
export function setToggle(button, on, icon, label) {
  button.setAttribute('aria-pressed', String(on));
  button.setAttribute('aria-label', label);
  button.title = `${label} (${button.getAttribute('aria-keyshortcuts')})`;
  setIcon(button, on ? icon : `${icon}-off`);
}

export function setIcon(button, icon) {
  const use = button.querySelector('use');
  const href = `#i-${icon}`;
  if (use.getAttribute('href') !== href) use.setAttribute('href', href);
}

/** Fill a select element with devices. What is right already stays: the list may be open. */
export function fillDevices(select, devices, chosen, nothing) {
  const options = devices.map(
    ({ deviceId, label }, index) => new Option(label || `Device ${index + 1}`, deviceId, false, deviceId === chosen),
  );
  const next = options.length ? options : [new Option(nothing, '')];
  const same = next.length === select.length && next.every((option, index) => option.isEqualNode(select[index]));
  const selected = options.findIndex((option) => option.selected);
  if (!same) select.replaceChildren(...next);
  else if (selected >= 0) select.selectedIndex = selected;
  select.disabled = options.length === 0;
}

/** Have one-letter shortcuts press buttons, wherever the focus is, except in fields and dialogs. */
export function shortcuts(screen, buttons) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || byId(screen).hidden) return;
    if (event.target.closest('input, select, textarea, dialog')) return;
    buttons[event.key.toLowerCase()]?.click();
  });
}
