"use strict";
// A copy in random order (Fisher and Yates); `random` gives numbers from 0 to 1.
function shuffled(items, random) {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}
// One line of CSV for each rating, quoted as RFC 4180 says. What was not rated is left out.
function csv(listener, trials, ratings) {
  const quoted = value => `"${String(value).replaceAll('"', '""')}"`;
  const lines = trials.flatMap(trial => trial.items
    .filter(({item}) => ratings.has(item))
    .map(({item}) => [quoted(listener), trial.trial, item, ratings.get(item)].join(",")));
  return ["listener,trial,item,rating", ...lines].join("\r\n") + "\r\n";
}
