// Refreshes the live part of the overview every two seconds; the page is complete without it.
const PERIOD_MS = 2000;
const button = document.querySelector('[data-live]');
const part = button && document.getElementById(button.dataset.target);

// Brings a tree up to date in place, so that focus and selection stay where they are.
function update(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data === fresh.data) return;
    old.data = fresh.data;
    const cell = old.parentElement;
    cell.classList.remove('fresh');
    requestAnimationFrame(() => cell.classList.add('fresh'));
    return;
  }
  for (const { name, value } of fresh.attributes ?? []) {
    if (name !== 'class' && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // Drawings have classes of another kind, which never change.
  if (typeof fresh.className === 'string' && old.className.replace(/ ?fresh$/, '') !== fresh.className) old.className = fresh.className;
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((child, at) => before[at] ? update(before[at], child) : old.append(child));
  before.slice(after.length).forEach((child) => child.remove());
}

function say(state) {
  button.textContent = button.dataset[state];
  button.dataset.state = state;
}

async function refresh() {
  if (document.hidden || button.dataset.state === 'paused') return;
  try {
    const answer = await fetch(button.dataset.live, { headers: { accept: 'text/html' } });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = document.createElement('div');
    fresh.id = part.id;
    const parsed = new DOMParser().parseFromString(await answer.text(), 'text/html');
    fresh.append(...parsed.body.childNodes);
    if (button.dataset.state === 'paused') return;
    update(part, fresh);
    say('on');
  } catch {
    if (button.dataset.state !== 'paused') say('away');
  }
}

async function run() {
  await refresh();
  setTimeout(run, PERIOD_MS);
}

if (part) {
  button.hidden = false;
  say('on');
  button.addEventListener('click', () => {
    const paused = button.dataset.state !== 'paused';
    say(paused ? 'paused' : 'on');
    button.setAttribute('aria-pressed', String(!paused));
  });
  setTimeout(run, PERIOD_MS);
}
