// The checkout is complete without this script: it groups digits, stops a second click, and moves on when it is paid.
const main = document.querySelector('main');

for (const input of document.querySelectorAll('[data-groups]')) {
  input.addEventListener('input', () => {
    if (input.selectionStart !== input.value.length) return;
    const digits = input.value.replace(/\D/g, '').slice(0, 19);
    input.value = digits.replace(/.{4}(?=.)/g, '$& ');
  });
}

for (const input of document.querySelectorAll('[data-expiry]')) {
  input.addEventListener('input', (event) => {
    if (event.inputType?.startsWith('delete') || input.selectionStart !== input.value.length) return;
    const digits = input.value.replace(/\D/g, '');
    if (/^(0[1-9]|1[0-2])\d{0,4}$/.test(digits)) input.value = `${digits.slice(0, 2)} / ${digits.slice(2)}`;
    else if (/^[2-9]$/.test(digits)) input.value = `0${digits} / `;
  });
}

for (const form of document.querySelectorAll('form[data-once]')) {
  const button = form.querySelector('button');
  const label = button.textContent;
  form.addEventListener('submit', (event) => {
    if (button.getAttribute('aria-disabled')) return event.preventDefault();
    button.setAttribute('aria-disabled', 'true');
    button.textContent = button.dataset.busy;
  });
  addEventListener('pageshow', (event) => {
    if (!event.persisted) return;
    button.removeAttribute('aria-disabled');
    button.textContent = label;
  });
}

for (const time of document.querySelectorAll('time[datetime]')) {
  const style = { dateStyle: 'medium', timeStyle: 'short' };
  time.textContent = new Intl.DateTimeFormat(document.documentElement.lang, style).format(new Date(time.dateTime));
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(main.dataset.watch, { headers: { accept: 'application/json' } });
      if (answer.ok && (await answer.json()).state !== main.dataset.face) return location.reload();
    } catch {
      // No connection for a moment: the next look may have one.
    }
  }
  setTimeout(look, Number(main.dataset.period) * 1000);
}

if (main.dataset.watch) setTimeout(look, Number(main.dataset.period) * 1000);
