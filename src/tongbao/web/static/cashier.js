// The checkout is complete without this script: it groups digits, checks a card before it is sent, stops a second click,
// reads the amount aloud, asks in time whether more of it is needed, and moves on when it is paid.
const main = document.querySelector('main');
const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
const language = document.documentElement.lang;

each('[data-groups]', (input) => {
  input.addEventListener('input', () => {
    if (input.selectionStart !== input.value.length) return;
    const digits = input.value.replace(/\D/g, '').slice(0, 19);
    input.value = digits.replace(/.{4}(?=.)/g, '$& ');
  });
});

each('[data-expiry]', (input) => {
  input.addEventListener('input', (event) => {
    if (event.inputType?.startsWith('delete') || input.selectionStart !== input.value.length) return;
    const digits = input.value.replace(/\D/g, '');
    if (/^(0[1-9]|1[0-2])\d{0,4}$/.test(digits)) input.value = `${digits.slice(0, 2)} / ${digits.slice(2)}`;
    else if (/^[2-9]$/.test(digits)) input.value = `0${digits} / `;
  });
});

// Luhn's check: a digit that was mistyped is told while everything that was typed is still there.
function adds(text) {
  const digits = text.replace(/\D/g, '');
  let sum = 0;
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits.at(-1 - place)) * (place % 2 + 1);
    sum += digit > 9 ? digit - 9 : digit;
  }
  return digits.length > 11 && sum % 10 === 0;
}

function lasts(text) {
  const [, month, year] = /^\s*(\d{1,2})\D*(\d{4}|\d\d)\s*$/.exec(text) ?? [];
  const now = new Date();
  const until = new Date((year?.length === 2 ? 2000 : 0) + Number(year), Number(month));
  return month >= 1 && month <= 12 && until > now;
}

const checks = { number: adds, expiry: lasts };
each('input[data-says]', (input) => {
  const judge = () => {
    const { validity } = input;
    const wrong = input.value && (validity.patternMismatch || !(checks[input.name]?.(input.value) ?? true));
    input.setCustomValidity(wrong ? input.dataset.says : '');
  };
  input.addEventListener('input', () => input.setCustomValidity(''));
  input.addEventListener('change', judge);
  input.form.addEventListener('click', judge);
});

each('form[data-once]', (form) => {
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
});

each('time[datetime]', (time) => {
  const clock = 'clock' in time.dataset ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' };
  time.textContent = new Intl.DateTimeFormat(language, clock).format(new Date(time.dateTime));
});

each('[data-print]', (box) => {
  box.hidden = false;
  box.firstElementChild.addEventListener('click', () => print());
});

// A browser that has no voice for the language shows no button; voices may arrive late.
each('[data-speak]', (button) => {
  if (!('speechSynthesis' in window)) return;
  const voice = () => speechSynthesis.getVoices().find((one) => one.lang.slice(0, 2) === language.slice(0, 2));
  const show = () => { button.hidden = !voice(); };
  show();
  speechSynthesis.addEventListener?.('voiceschanged', show);
  button.addEventListener('click', () => {
    const words = new SpeechSynthesisUtterance(button.dataset.speak);
    Object.assign(words, { voice: voice(), lang: language, rate: 0.85 });
    speechSynthesis.cancel();
    speechSynthesis.speak(words);
  });
});

each('[data-closes]', (ends) => {
  const form = ends.querySelector('[data-later]');
  const left = new Date(ends.dataset.closes) - Date.now() - 600_000;
  if (form && left < 2 ** 31) setTimeout(() => { form.hidden = false; }, Math.max(0, left));
});

let looks = 0;
async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(main.dataset.watch, { headers: { accept: 'application/json' } });
      if (answer.ok && (await answer.json()).state !== main.dataset.face) return location.reload();
    } catch {
      // No connection for a moment: the next look may have one.
    }
  }
  // After two minutes nobody waits for the very second.
  setTimeout(look, Number(main.dataset.period) * (++looks > 60 ? 5_000 : 1_000));
}

if (main.dataset.watch) setTimeout(look, Number(main.dataset.period) * 1_000);
