// Passkeys of the step-up pages. A code works without this script; here the browser is asked what the page says in
// data-options, and its answer goes to the server as JSON in a plain form. What went wrong is told in words of the page.
const able = 'PublicKeyCredential' in window && 'credentials' in navigator && isSecureContext;

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
const text = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

// Browsers of before 2025 have neither parseRequestOptionsFromJSON nor toJSON.
function options(form) {
  const read = JSON.parse(form.dataset.options);
  read.challenge = bytes(read.challenge);
  if (read.user) read.user.id = bytes(read.user.id);
  for (const each of [...(read.allowCredentials ?? []), ...(read.excludeCredentials ?? [])]) each.id = bytes(each.id);
  return read;
}

function answer({ rawId, type, response }) {
  const id = text(rawId);
  const said = { clientDataJSON: text(response.clientDataJSON) };
  if (response.attestationObject) {
    said.attestationObject = text(response.attestationObject);
    said.transports = response.getTransports?.() ?? [];
  } else {
    said.authenticatorData = text(response.authenticatorData);
    said.signature = text(response.signature);
    if (response.userHandle) said.userHandle = text(response.userHandle);
  }
  return JSON.stringify({ id, rawId: id, type, response: said, clientExtensionResults: {} });
}

const causes = {
  NotAllowedError: 'canceled', AbortError: 'canceled', SecurityError: 'foreign', InvalidStateError: 'known',
  NotSupportedError: 'unable',
};

for (const form of document.querySelectorAll('form[data-passkey]')) {
  const told = document.querySelector('[data-told]');
  const button = form.querySelector('button');
  const label = button.textContent;
  const tell = (cause) => {
    told.textContent = form.dataset[cause] ?? form.dataset.failed;
    told.hidden = false;
    told.scrollIntoView({ block: 'nearest' });
  };
  const rest = () => {
    button.removeAttribute('aria-disabled');
    button.textContent = label;
  };

  if (!able) {
    form.dataset.off = '';
    tell('unable');
    continue;
  }
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.getAttribute('aria-disabled')) return;
    told.hidden = true;
    button.setAttribute('aria-disabled', 'true');
    button.textContent = button.dataset.busy;
    try {
      const made = await navigator.credentials[form.dataset.passkey]({ publicKey: options(form) });
      form.elements.response.value = answer(made);
      form.submit();
    } catch (error) {
      rest();
      tell(causes[error.name] ?? 'failed');
    }
  });
  addEventListener('pageshow', (event) => event.persisted && rest());
}

// The page with a code says whether this device could save a passkey for next time: only then is one offered.
const proof = document.querySelector('form[data-passkeys]');
if (proof && able && (await PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable?.().catch(() => false))) {
  const field = document.createElement('input');
  Object.assign(field, { type: 'hidden', name: 'device', value: 'passkeys' });
  proof.append(field);
}
