// Commands as JSON lines on standard input, answers on standard output:
//     {"id": 1, "call": "x", "do": "mute", "client": 0, "with": {"muted": true}}   ->   {"id": 1, "value": ...}
import {createInterface} from 'node:readline';
import {Browser, Call} from './driver.js';

const browser = await Browser.launch(process.env.CHROMIUM || '/usr/bin/chromium');
const calls = new Map();

async function act({call, do: action, client, with: options = {}}) {
  if (action === 'open') {
    calls.set(call, new Call(browser, options));
    return calls.get(call).open();
  }
  const it = calls.get(call);
  if (action === 'record') {
    await Promise.all(it.clients.map(c => it.drain(c)));
    return {conversation: it.conversation, events: it.events, e2e: it.e2e, epoch: {number: it.epoch.number, key: it.epoch.key}};
  }
  if (action === 'close') {
    calls.delete(call);
    return it.close();
  }
  return it[action](it.clients[client], options);
}

console.log(JSON.stringify({id: 0, value: browser.browser.version()}));
for await (const line of createInterface({input: process.stdin})) {
  const command = JSON.parse(line);
  act(command).then(
    value => console.log(JSON.stringify({id: command.id, value: value ?? null})),
    error => console.log(JSON.stringify({id: command.id, error: String(error?.stack ?? error)})),
  );
}
await browser.close();
