const find = id => document.getElementById(id);
const trials = shuffled(JSON.parse(find("trials").textContent), Math.random);
for (const trial of trials) trial.items = shuffled(trial.items, Math.random);
const ratings = new Map();
let current = 0, playing = null;

function play(audio, button) {
  const position = playing && !playing.audio.ended ? playing.audio.currentTime : 0;
  const again = playing && playing.audio === audio && !audio.paused;
  if (playing) { playing.audio.pause(); playing.button.parentElement.classList.remove("playing"); playing.button.classList.remove("playing"); }
  if (again) return;
  audio.currentTime = position;
  audio.play();
  (button.id === "reference" ? button : button.parentElement).classList.add("playing");
  playing = {audio, button};
}

function row(entry, index) {
  const line = document.createElement("div");
  line.className = "item";
  const name = String.fromCharCode(65 + index);
  line.innerHTML = `<strong>${name}</strong><button type="button">Play</button>
    <input type="range" min="0" max="100" step="1" aria-label="Rating of ${name}"><output></output>`;
  const [, button, slider, output] = line.children;
  const audio = new Audio(entry.audio);
  const show = () => { output.textContent = ratings.has(entry.item) ? ratings.get(entry.item) : "–"; };
  button.addEventListener("click", () => play(audio, button));
  slider.value = ratings.get(entry.item) ?? 50;
  slider.addEventListener("input", () => { ratings.set(entry.item, Number(slider.value)); show(); update(); });
  show();
  return line;
}

function update() {
  const trial = trials[current];
  const left = trial.items.filter(({item}) => !ratings.has(item)).length;
  const all = trials.flatMap(({items}) => items);
  find("progress").value = ratings.size / Math.max(1, all.length);
  find("hint").textContent = left ? `${left} of ${trial.items.length} sounds are not rated yet.` : "";
  find("back").disabled = current === 0;
  find("next").disabled = current === trials.length - 1 || left > 0;
  find("save").disabled = ratings.size === 0;
}

function show(index) {
  if (playing) playing.audio.pause();
  current = index;
  playing = null;
  const trial = trials[index];
  find("title").textContent = `Trial ${index + 1} of ${trials.length}`;
  const reference = new Audio(trial.reference);
  find("reference").classList.remove("playing");
  find("reference").onclick = () => play(reference, find("reference"));
  find("items").replaceChildren(...trial.items.map(row));
  update();
}

find("back").addEventListener("click", () => show(current - 1));
find("next").addEventListener("click", () => show(current + 1));
find("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv(find("listener").value, trials, ratings)], {type: "text/csv"}));
  link.download = "ratings.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
if (trials.length) show(0);
