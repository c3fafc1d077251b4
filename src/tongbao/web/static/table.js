// Tables work through their forms; here a choice of columns, density or filter is applied at once, and what hangs open
// is closed by a click beside it or by Escape.
document.addEventListener('change', ({ target }) => {
  const form = target.closest('form[data-at-once]');
  if (form && !target.matches('[type="search"], [type="text"], [type="date"]')) form.requestSubmit();
});
document.addEventListener('click', ({ target }) => {
  for (const each of document.querySelectorAll('details.pop[open], details.person[open]')) {
    if (!each.contains(target)) each.open = false;
  }
});
document.addEventListener('keydown', (event) => {
  const open = event.key === 'Escape' && event.target.closest('details.pop[open], details.person[open]');
  if (!open) return;
  open.open = false;
  open.querySelector('summary').focus();
});

// J and K walk over the rows of a [data-keys] part, Enter opens; [data-key="a"] is pressed by its key.
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, [role="textbox"]')) return;
  const key = event.key.toLowerCase();
  if (key === 'j' || key === 'k') {
    const rows = [...document.querySelectorAll('[data-keys] tbody tr')];
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + (key === 'j' ? 1 : -1)))];
    next?.querySelector('a, button')?.focus();
  } else if (/^[a-z]$/.test(key)) {
    const act = document.querySelector(`[data-key="${key}"]`);
    if (act?.checkVisibility()) event.preventDefault(), act.focus(), act.click();
  }
});
