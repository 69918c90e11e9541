"use strict";
// Order of two cells: numbers by value, texts by alphabet, and what is absent always last.
function ordered(a, b, direction) {
  const absent = text => text === "-" || text === "";
  if (absent(a) || absent(b)) return absent(a) - absent(b);
  const [x, y] = [parseFloat(a), parseFloat(b)];
  const difference = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return direction * difference;
}
