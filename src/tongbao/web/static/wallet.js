// The pay code: counts down, asks whether it was used, and takes the next one when it is over, a few times.
const LOOK_MS = 2000, RENEWALS_MAX = 10;
let renewals = 0, ends = 0;
const part = () => document.querySelector('[data-paycode]');

function begin() {
  ends = Date.now() + part().dataset.paycode * 1000;
  part().querySelector('[data-look]').hidden = true;
}

async function look() {
  const form = part()?.querySelector('[data-look]');
  if (!form || document.hidden) return;
  const answer = await fetch(form.action, { method: 'POST', headers: { Accept: 'application/json' }, body: new URLSearchParams(new FormData(form)) });
  if (!answer.ok) return;
  const { used } = await answer.json();
  if (used) location.assign(used);
}

async function renew() {
  if (document.hidden || renewals >= RENEWALS_MAX) return;
  renewals += 1;
  const answer = await fetch('/wallet/code', { headers: { Accept: 'text/html' } });
  const next = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('[data-paycode]');
  if (!answer.ok || !next) return;
  const held = part().contains(document.activeElement);
  part().replaceWith(document.importNode(next, true));
  if (held) part().querySelector('a').focus({ preventScroll: true });
  begin();
}

let busy = false;
async function tick() {
  const left = Math.ceil((ends - Date.now()) / 1000), words = part().querySelector('[data-left]');
  words.textContent = left > 0 ? words.dataset.left.replace('{}', left) : words.dataset.over;
  if (left > 0 || busy) return;
  busy = true;
  await look().catch(() => {});
  await renew().catch(() => {});
  busy = false;
}

if (part()) {
  begin();
  setInterval(tick, 1000);
  setInterval(() => look().catch(() => {}), LOOK_MS);
}
