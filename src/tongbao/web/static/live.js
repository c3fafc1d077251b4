// Live data: one stream per address, held by one tab and shared with the others. The server sends finished parts of pages;
// the part with that channel is brought up to date in place, so that focus and selection stay where they are.
const label = document.querySelector('[data-live-stream]');

function update(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data === fresh.data) return;
    old.data = fresh.data;
    const cell = old.parentElement;
    cell?.classList.remove('fresh');
    return requestAnimationFrame(() => cell?.classList.add('fresh'));
  }
  for (const { name, value } of fresh.attributes ?? []) {
    if (name !== 'class' && name !== 'open' && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (typeof fresh.className === 'string' && old.className.replace(/ ?fresh$/, '') !== fresh.className) old.className = fresh.className;
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((child, at) => (before[at] ? update(before[at], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

function show({ channel, html }) {
  for (const part of document.querySelectorAll('[data-channel]')) {
    if (part.dataset.channel !== channel) continue;
    const parsed = new DOMParser().parseFromString(html, 'text/html').body;
    const fresh = part.cloneNode(false);
    fresh.classList.remove('fresh');
    const same = parsed.children.length === 1 && parsed.firstElementChild.dataset.channel === channel;
    fresh.append(...(same ? parsed.firstElementChild : parsed).childNodes);
    update(part, fresh);
    dispatchEvent(new CustomEvent('kit:fresh', { detail: part }));
  }
}

function say(state) {
  label.hidden = false;
  label.dataset.state = state;
  if (label.textContent !== label.dataset[state]) label.textContent = label.dataset[state];
}

if (label) {
  const source = label.dataset.liveStream;
  const shared = 'BroadcastChannel' in window ? new BroadcastChannel(`live:${source}`) : null;
  shared?.addEventListener('message', ({ data }) => (data.state ? say(data.state) : show(data)));
  const tell = (data) => {
    shared?.postMessage(data);
    data.state ? say(data.state) : show(data);
  };
  // Whoever holds the lock holds the stream; when that tab is closed, the next one takes both.
  const hold = () =>
    new Promise(() => {
      const stream = new EventSource(source);
      stream.onopen = () => tell({ state: 'on' });
      stream.onerror = () => tell({ state: 'away' });
      stream.addEventListener('part', ({ data }) => tell(JSON.parse(data)));
      addEventListener('offline', () => tell({ state: 'away' }));
    });
  say('on');
  if (navigator.locks && shared) navigator.locks.request(`live:${source}`, hold);
  else hold();
}
