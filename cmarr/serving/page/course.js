// Probabilities, or the score, over the windows of a recording, and what each window was read from.
import { make } from "./answer.js";

const at = (id) => document.getElementById(id);
const SPACE = "http://www.w3.org/2000/svg";
const HIGH = 220, LEFT = 52, RIGHT = 8, TOP = 8, ROW = 16;
let wide = 640;

function draw(kind, attributes, text) {
  const element = document.createElementNS(SPACE, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const middle = (window) => ((window.start ?? 0) + (window.end ?? 0)) / 2;
const value = (window, name) => (window.refused !== null ? null : name === null ? window.score : window.probabilities[name]);

export function drawCourse(windows, model, player) {
  wide = Math.max(at("chart").clientWidth, 240); // a unit is a pixel, and text as large as elsewhere
  const names = model.classes.length ? model.classes : [null];
  const last = Math.max(...windows.map((window) => window.end));
  const values = windows.flatMap((window) => names.map((name) => value(window, name))).filter((v) => v !== null);
  const [low, high] = model.classes.length ? [0, 1] : [Math.min(...values), Math.max(...values) + 1e-9];
  const x = (seconds) => LEFT + (wide - LEFT - RIGHT) * seconds / last;
  const y = (share) => TOP + (HIGH - TOP) * (1 - (share - low) / (high - low));
  const height = HIGH + 26 + ROW * model.modalities.length;
  const picture = draw("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": summary(windows, names) });
  grid(picture, x, y, low, high, last, model);
  names.forEach((name, number) => curve(picture, windows, name, number, x, y));
  strips(picture, windows, model.modalities, x);
  const now = draw("line", { class: "now", y1: TOP, y2: HIGH, x1: LEFT, x2: LEFT, visibility: "hidden" });
  picture.append(now);
  player.ontimeupdate = () => {
    now.setAttribute("visibility", "visible");
    for (const end of ["x1", "x2"]) now.setAttribute(end, x(Math.min(player.currentTime, last)));
  };
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const seconds = ((event.clientX - box.left) / box.width * wide - LEFT) / (wide - LEFT - RIGHT) * last;
    player.currentTime = Math.min(Math.max(seconds, 0), last);
  });
  at("chart").replaceChildren(...(model.classes.length ? [legend(names)] : []), picture);
  table(windows, names);
}

function summary(windows, names) {
  if (names[0] === null) return `The score in ${windows.length} windows`;
  const told = windows.map((window) => window.winner ?? "nothing");
  const turns = told.filter((name, i) => i === 0 || name !== told[i - 1]);
  return `Probabilities in ${windows.length} windows; the likeliest is ${turns.join(", then ")}`;
}

function grid(picture, x, y, low, high, last, model) {
  for (const part of [0, 0.5, 1]) {
    const level = low + (high - low) * part;
    picture.append(draw("line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(level), y2: y(level) }));
    const told = model.classes.length ? `${100 * part} %` : level.toFixed(1);
    picture.append(draw("text", { x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" }, told));
  }
  const step = [1, 2, 5, 10, 20, 30, 60, 120].find((seconds) => last / seconds <= wide / 70) ?? 300;
  for (let second = 0; second <= last; second += step) {
    picture.append(draw("text", { x: x(second), y: HIGH + 16, "text-anchor": "middle" }, `${second} s`));
  }
}

function curve(picture, windows, name, number, x, y) {
  let path = "";
  let pen = "M";
  for (const window of windows) {
    const share = value(window, name);
    if (share === null) { pen = "M"; continue; }
    path += `${pen}${x(middle(window)).toFixed(1)} ${y(share).toFixed(1)}`;
    pen = "L";
    picture.append(draw("circle", { class: `f${number % 7}`, cx: x(middle(window)), cy: y(share), r: 3 }));
  }
  picture.append(draw("path", { class: `f${number % 7}`, d: path }));
}

function strips(picture, windows, modalities, x) {
  modalities.forEach((modality, row) => {
    const top = HIGH + 24 + ROW * row;
    picture.append(draw("text", { x: LEFT - 6, y: top + 9, "text-anchor": "end" }, modality));
    windows.forEach((window, i) => {
      const end = i + 1 < windows.length ? windows[i + 1].start : window.end;
      const place = { x: x(window.start), width: Math.max(x(end) - x(window.start) - 1, 1), y: top, height: ROW - 5 };
      picture.append(draw("rect", { ...place, class: window.used.includes(modality) ? "used" : "unused" }));
    });
  });
}

function legend(names) {
  const line = make("p", "legend");
  names.forEach((name, number) => {
    const entry = make("span");
    entry.append(make("i", `swatch f${number % 7}`), name);
    line.append(entry);
  });
  return line;
}

function table(windows, names) {
  const head = make("tr");
  for (const name of ["seconds", ...names.map((n) => n ?? "score"), "doubt", "read from"]) {
    const cell = make("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const rows = windows.map((window) => {
    const row = make("tr");
    const shares = names.map((name) => value(window, name)?.toFixed(2) ?? "");
    const told = window.refused ?? window.used.join(", ");
    for (const text of [`${window.start.toFixed(1)}–${window.end.toFixed(1)}`, ...shares, window.uncertainty?.toFixed(2) ?? "", told]) {
      row.append(make("td", "", text));
    }
    return row;
  });
  at("windows").replaceChildren(head, ...rows);
}
