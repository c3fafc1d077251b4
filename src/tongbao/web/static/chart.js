// Reads a value off a drawing: the nearest point's row of the table that stands below it. Decoration only.
function ready(plot) {
  const rows = [...(plot.closest('.chart')?.querySelectorAll('.as-table tbody tr') ?? [])];
  const drawing = plot.querySelector('svg');
  if (!rows.length || !drawing || plot.dataset.ready) return;
  plot.dataset.ready = '';
  plot.classList.add('plot-frame');
  const box = Object.assign(document.createElement('p'), { className: 'readout', hidden: true });
  box.setAttribute('aria-hidden', 'true');
  plot.append(box);
  drawing.addEventListener('pointermove', (event) => {
    const frame = drawing.getBoundingClientRect(), outer = plot.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - frame.left) / frame.width));
    const row = rows[Math.round(share * (rows.length - 1))];
    box.textContent = [...row.cells].map((cell) => cell.textContent.trim()).join(' · ');
    box.hidden = false;
    const left = Math.min(event.clientX - outer.left + 14, outer.width - box.offsetWidth);
    box.style.setProperty('left', `${Math.max(0, left)}px`);
    box.style.setProperty('top', `${Math.max(0, event.clientY - outer.top - 36)}px`);
  });
  drawing.addEventListener('pointerleave', () => (box.hidden = true));
}

const all = (root) => root.querySelectorAll('.plot[data-read]').forEach(ready);
all(document);
addEventListener('kit:fresh', ({ detail }) => all(detail));
