// Comfort over pages that are complete without it: parts of a page are exchanged in place, texts copied, drawers opened,
// forms sent once. Parts that arrive are told by the event "kit:fresh"; other scripts prepare them.
const find = (selector, root = document) => root.querySelector(selector);
const toasts = find('[data-toasts]');
const status = document.body.appendChild(Object.assign(document.createElement('p'), { className: 'vh', role: 'status' }));

function toast(words) {
  if (!toasts || !words) return;
  const box = Object.assign(document.createElement('p'), { className: 'toast', textContent: words });
  toasts.replaceChildren(box);
  setTimeout(() => box.remove(), 4000);
}

function prepare(root) {
  for (const each of root.querySelectorAll('[data-copy], [data-dismiss]')) each.hidden = false;
}

function fresh(part) {
  prepare(part);
  dispatchEvent(new CustomEvent('kit:fresh', { detail: part }));
}

async function load(url, part, options) {
  const answer = await fetch(url, { ...options, headers: { 'X-Fragment': part, Accept: 'text/html' } });
  return [answer, new DOMParser().parseFromString(await answer.text(), 'text/html')];
}

// Fetches a page and puts its part into this one. A page without that part is gone to instead.
let turns = 0;
async function exchange(url, selector, options = {}) {
  const old = find(selector), turn = ++turns;
  if (!old) return location.assign(url);
  old.setAttribute('aria-busy', 'true');
  try {
    const [answer, page] = await load(url, selector.slice(1), options);
    const part = find(selector, page);
    // Whoever went on in the meantime does not want this answer any more.
    if (turn !== turns) return;
    if (!part) return location.assign(answer.redirected || !options.method ? answer.url : location.href);
    const held = old.contains(document.activeElement) && document.activeElement;
    const again = held && (held.id ? `#${CSS.escape(held.id)}` : held.name && `[name="${CSS.escape(held.name)}"]`);
    old.replaceWith(document.importNode(part, true));
    const now = find(selector);
    if (page.title) document.title = page.title;
    const wrong = options.method && find('[aria-invalid]', now);
    if (held) (wrong || again && find(again, now) || now).focus({ preventScroll: !wrong });
    fresh(now);
    status.textContent = now.dataset.said ?? find('[data-said]', now)?.dataset.said ?? document.title;
    return answer;
  } catch {
    if (turn === turns) toast(toasts?.dataset.failed);
  } finally {
    old.removeAttribute('aria-busy');
  }
}

async function go(url, selector, options) {
  const answer = await exchange(url, selector, options);
  if (!answer || (options?.method && !answer.redirected)) return;
  history.replaceState({ swap: selector }, '');
  history.pushState({ swap: selector }, '', answer.url);
}

addEventListener('popstate', ({ state }) => (state?.swap ? exchange(location.href, state.swap) : location.reload()));

async function open(link) {
  const drawer = find(link.dataset.drawer), body = find('[data-body]', drawer);
  const [answer, page] = await load(link.href, 'main').catch(() => []);
  const part = answer?.ok && find('#main', page);
  if (!part) return location.assign(link.href);
  for (const each of part.querySelectorAll('dialog')) each.remove();
  body.replaceChildren(...document.importNode(part, true).childNodes);
  if (!drawer.open) drawer.showModal();
  body.scrollTop = 0;
  body.focus();
  fresh(body);
}

document.addEventListener('click', async (event) => {
  const hit = event.target.closest('[data-copy], [data-dismiss], a[data-swap], a[data-drawer]');
  if (event.target.matches('dialog')) return event.target.close();
  if (!hit || event.defaultPrevented) return;
  if ('copy' in hit.dataset) {
    await navigator.clipboard?.writeText(hit.dataset.copy).then(() => toast(toasts?.dataset.copied), () => {});
  } else if ('dismiss' in hit.dataset) {
    hit.closest('[data-flash]').remove();
  } else if (!event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    if (hit.dataset.drawer) open(hit);
    else go(hit.href, hit.dataset.swap);
  }
});

document.addEventListener('submit', (event) => {
  const form = event.target, by = event.submitter;
  if (event.defaultPrevented) return;
  if ('once' in form.dataset) {
    if (form.getAttribute('aria-busy')) return event.preventDefault();
    form.setAttribute('aria-busy', 'true');
  }
  if (!form.dataset.swap) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form, by));
  const url = new URL(by?.getAttribute('formaction') ?? form.action, location.href);
  if (form.method === 'post') go(url, form.dataset.swap, { method: 'POST', body: fields });
  else go(Object.assign(url, { search: new URLSearchParams([...fields].filter(([, value]) => value)) }), form.dataset.swap);
});
addEventListener('pageshow', () => document.querySelectorAll('form[data-once]').forEach((form) => form.removeAttribute('aria-busy')));

prepare(document);
