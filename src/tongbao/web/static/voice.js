// Reads a text aloud with a voice of the browser; where there is none, the button stays hidden.
const voices = window.speechSynthesis;

function ready() {
  for (const button of document.querySelectorAll('[data-speak]')) {
    const language = button.lang || document.documentElement.lang;
    const voice = voices.getVoices().find((each) => each.lang.replace('_', '-').startsWith(language.split('-')[0]));
    button.hidden = !voice;
    button.onclick = () => {
      const words = Object.assign(new SpeechSynthesisUtterance(button.dataset.speak), { lang: language, voice, rate: 0.9 });
      voices.cancel();
      voices.speak(words);
    };
  }
}

if (voices && 'SpeechSynthesisUtterance' in window) {
  voices.addEventListener?.('voiceschanged', ready);
  ready();
}
