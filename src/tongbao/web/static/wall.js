// The wall: its scenes take turns. The page is whole without this; a link leads to the next scene.
const wall = document.querySelector('[data-rotate]');
const pause = document.querySelector('[data-pause]');
const named = () => [...wall.querySelectorAll('[data-scene]')];
let shown = named().findIndex((each) => !each.hidden), timer = 0;

function show() {
  named().forEach((each, at) => { each.hidden = at !== shown; });
}

function next() {
  shown = (shown + 1) % named().length;
  show();
}

function turn(on) {
  clearInterval(timer);
  timer = on ? setInterval(next, wall.dataset.rotate * 1000) : 0;
  pause.textContent = on ? pause.dataset.stop : pause.dataset.go;
}

if (wall && pause) {
  pause.hidden = false;
  pause.addEventListener('click', () => turn(!timer));
  // What the stream brings is rendered for all screens; which scene is shown is this screen's own.
  addEventListener('kit:fresh', show);
  addEventListener('keydown', ({ key }) => key === 'ArrowRight' && next());
  turn(true);
}
