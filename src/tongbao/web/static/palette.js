// The command palette: "/" or Ctrl-K opens it, typing narrows the places, arrows choose, Enter goes. What is no place
// is sent to the finder, which knows ids. Without this script the finder field of the page does the same.
const palette = document.querySelector('[data-palette]');

if (palette) {
  const input = palette.querySelector('input');
  const options = [...palette.querySelectorAll('[role="option"]')];
  const shown = () => options.filter((option) => !option.hidden);

  function choose(option) {
    for (const each of options) each.setAttribute('aria-selected', String(each === option));
    input.setAttribute('aria-activedescendant', option?.id ?? '');
    option?.scrollIntoView({ block: 'nearest' });
  }

  function narrow() {
    const wanted = input.value.trim().toLowerCase();
    for (const each of options) each.hidden = !each.textContent.toLowerCase().includes(wanted);
    choose(wanted ? shown()[0] : undefined);
  }

  function show() {
    if (!palette.open) palette.showModal();
    input.value = '';
    narrow();
    input.focus();
  }

  input.addEventListener('input', narrow);
  input.addEventListener('keydown', (event) => {
    const list = shown();
    const at = list.findIndex((each) => each.getAttribute('aria-selected') === 'true');
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      choose(list[(at + (event.key === 'ArrowDown' ? 1 : list.length + (at < 0 ? 0 : -1))) % list.length]);
    } else if (event.key === 'Enter' && (at >= 0 || !input.value.trim())) {
      event.preventDefault();
      if (at >= 0) location.assign(list[at].dataset.href);
    }
  });
  palette.addEventListener('click', ({ target }) => {
    const option = target.closest('[role="option"]');
    if (option) location.assign(option.dataset.href);
  });
  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest('input, textarea, select');
    if ((event.key === '/' && !typing) || (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      show();
    }
  });
}
