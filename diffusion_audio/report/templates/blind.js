"use strict";
// The blind test: pairs of clips of one caption in random order, votes to export.
(() => {
  const trial = document.querySelector(".trial");
  const clips = [...document.querySelectorAll("#listen .example")].map(example => ({
    caption: example.querySelector(".caption").textContent,
    sounds: [...example.querySelectorAll(".clip")]
      .map(clip => ({
        system: clip.querySelector("h4").textContent,
        audio: clip.querySelector("audio"),
      }))
      .filter(sound => sound.audio && sound.system !== "Real"),
  })).filter(example => example.sounds.length > 1);
  if (!trial || !clips.length) return;

  const players = [...trial.querySelectorAll("audio")];
  const buttons = [...trial.querySelectorAll("[data-vote]")];
  const save = trial.querySelector("[data-export]");
  const status = trial.querySelector("[role=status]");
  const votes = [];
  let pair;

  const shuffled = items => items
    .map(item => [Math.random(), item])
    .sort((a, b) => a[0] - b[0])
    .map(([, item]) => item);
  let waiting = [];

  const next = () => {
    if (!waiting.length) waiting = shuffled(clips);
    const example = waiting.pop();
    const [a, b] = shuffled(example.sounds);
    pair = { caption: example.caption, a: a.system, b: b.system };
    trial.querySelector(".caption bdi").textContent = example.caption;
    [a, b].forEach((sound, i) => { players[i].src = sound.audio.src; });
  };

  const vote = choice => {
    votes.push({ ...pair, vote: choice });
    save.disabled = false;
    status.textContent = votes.length === 1 ? "1 vote" : `${votes.length} votes`;
    next();
  };

  const exported = () => JSON.stringify(
    { experiment: trial.dataset.experiment, votes }, null, 1);

  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
    link.download = `votes-${trial.dataset.experiment}.json`;
    link.click();
    const wins = {};
    for (const item of votes) {
      for (const side of ["a", "b"]) {
        wins[item[side]] ??= 0;
        wins[item[side]] += item.vote === side;
      }
    }
    status.textContent = "Preferred: " + Object.entries(wins)
      .map(([system, count]) => `${system} ${count}`).join(", ");
  };

  const play = player => {
    players.forEach(other => other.pause());
    player.currentTime = 0;
    player.play();
  };

  buttons.forEach(button =>
    button.addEventListener("click", () => vote(button.dataset.vote)));
  save.addEventListener("click", download);
  document.addEventListener("keydown", event => {
    const meant = !(event.repeat || event.ctrlKey || event.metaKey || event.altKey);
    const typed = meant ? event.key.toLowerCase() : "";
    const seen = trial.getBoundingClientRect();
    if (seen.bottom < 0 || seen.top > window.innerHeight) return;
    if (typed === "1" || typed === "2") play(players[Number(typed) - 1]);
    else if (typed === "a" || typed === "b") vote(typed);
    else if (typed === "n") vote("neither");
  });
  trial.hidden = false;
  next();
})();
