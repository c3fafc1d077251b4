// Tells how much of a file has been sent. Without it the form is sent as every other one.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (!('upload' in form.dataset) || event.defaultPrevented) return;
  event.preventDefault();
  const shown = form.querySelector('[data-progress]'), bar = shown.querySelector('progress');
  const request = new XMLHttpRequest(), button = form.querySelector('button:not([type="button"])');
  const end = () => { button.disabled = false; shown.hidden = true; };
  button.disabled = true;
  shown.hidden = false;
  request.upload.addEventListener('progress', ({ loaded, total }) => { bar.value = total ? (100 * loaded) / total : 0; });
  request.addEventListener('error', end);
  request.addEventListener('load', () => {
    if (request.status < 400 && request.responseURL) return location.assign(request.responseURL);
    const main = new DOMParser().parseFromString(request.responseText, 'text/html').querySelector('main');
    if (!main) return end();
    document.querySelector('main').replaceWith(document.importNode(main, true));
    document.querySelector('main').focus();
  });
  request.open('POST', form.action);
  request.setRequestHeader('Accept', 'text/html');
  request.send(new FormData(form));
});
