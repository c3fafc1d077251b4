// The page is complete without this script: it counts the seconds until another code may be sent, and no faster.
// In large text nothing counts down: whoever needs time is not hurried.
const line = document.querySelector('[data-countdown]');

if (line && !('elder' in document.documentElement.dataset)) {
  const words = line.textContent;
  const shown = line.dataset.countdown;
  const button = line.closest('form').querySelector('button');
  const end = performance.now() + Number(shown) * 1000;
  button.setAttribute('aria-disabled', 'true');

  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    if (left > 0) {
      line.textContent = words.replace(shown, left);
      setTimeout(tick, 250);
    } else {
      line.textContent = line.dataset.ready;
      button.removeAttribute('aria-disabled');
    }
  };
  tick();
}
