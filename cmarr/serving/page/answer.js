// The answer: bars, switches that hide a modality, doubt, and the course of a long recording.
import { drawCourse } from "./course.js";

const at = (id) => document.getElementById(id);
export function make(kind, className, text) {
  const element = document.createElement(kind);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// 0 % and 100 % only where it is that.
function percent(share) {
  const whole = Math.round(100 * share);
  if (whole === 0 && share > 0) return "<\u00a01\u00a0%";
  if (whole === 100 && share < 1) return ">\u00a099\u00a0%";
  return `${whole}\u00a0%`;
}

const key = (hidden, order) => order.filter((m) => hidden.has(m)).join("+");

// What is seen of a prediction while some modalities are hidden.
function without(seen, hidden, order) {
  if (!hidden.size) return seen.prediction;
  return seen.hidden[key(hidden, order)] ?? seen.prediction;
}

function headline(prediction) {
  const line = at("winner");
  if (prediction.winner === null) {
    line.textContent = prediction.score === null ? "" : `Score ${prediction.score.toFixed(2)}`;
    return;
  }
  line.replaceChildren(prediction.winner, " ", make("small", "", percent(prediction.probabilities[prediction.winner])));
}

function bars(prediction, whole, classes) {
  const rows = classes.map((name, number) => {
    const share = prediction.probabilities[name] ?? 0;
    const row = make("div", name === prediction.winner ? "bar best" : "bar");
    row.setAttribute("role", "listitem");
    const track = make("div", "track");
    const fill = make("div", `fill f${number % 7}`);
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    if (prediction !== whole) {
      const before = make("div", "before");
      before.style.left = `${100 * (whole.probabilities[name] ?? 0)}%`;
      before.title = `with everything: ${percent(whole.probabilities[name] ?? 0)}`;
      track.append(before);
    }
    const label = make("span", "name", name);
    label.dir = "auto";
    row.append(label, track, make("span", "share", percent(share)));
    return row;
  });
  at("bars").replaceChildren(...rows);
}

function change(prediction, whole, hidden, order) {
  if (!hidden.size) return "";
  const names = order.filter((m) => hidden.has(m)).join(" and ");
  if (whole.winner === null) return `Without ${names}: ${prediction.score.toFixed(2)} instead of ${whole.score.toFixed(2)}.`;
  const now = prediction.probabilities[prediction.winner];
  if (prediction.winner !== whole.winner) {
    return `Without ${names} it would be ${prediction.winner} (${percent(now)}) instead of ${whole.winner} (${percent(whole.probabilities[whole.winner])}).`;
  }
  return `Without ${names} it stays ${whole.winner}: ${percent(now)} instead of ${percent(whole.probabilities[whole.winner])}.`;
}

function switches(answer, hidden, order, redraw) {
  const { used, recovered, missing } = answer.prediction;
  const rows = order.map((modality) => {
    const row = make("div", "modality");
    const there = used.includes(modality);
    const label = make("strong", "", modality);
    label.id = `m-${modality}`;
    const reason = recovered.includes(modality) ? "not there; reconstructed from the rest" : missing[modality];
    row.append(label);
    if (!there) row.append(make("p", "", reason));
    if (there) {
      const shown = !hidden.has(modality);
      const button = make("button");
      button.type = "button";
      button.setAttribute("role", "switch");
      button.setAttribute("aria-checked", String(shown));
      button.setAttribute("aria-labelledby", label.id);
      button.disabled = shown && used.length - hidden.size === 1;
      button.append(make("span", "", shown ? "used" : "hidden"), make("i"));
      button.addEventListener("click", () => {
        if (shown) hidden.add(modality); else hidden.delete(modality);
        redraw();
        at(label.id).parentElement.querySelector("button").focus();
      });
      row.append(button);
    }
    return row;
  });
  at("modalities").replaceChildren(...rows);
}

function doubt(prediction, reasons) {
  const parts = [];
  if (prediction.uncertainty !== null) {
    parts.push(make("p", "", `Uncertainty ${prediction.uncertainty.toFixed(2)}, from 0 (sure) to 1 (guessing)`));
    const gauge = make("div", "gauge");
    const fill = make("div");
    fill.style.width = `${100 * prediction.uncertainty}%`;
    gauge.append(fill);
    parts.push(gauge);
  }
  const list = make("ul");
  for (const sentence of prediction.warnings) list.append(make("li", "warning", sentence));
  for (const sentence of reasons) list.append(make("li", "", sentence));
  if (!list.children.length) list.append(make("li", "", "nothing speaks against it"));
  parts.push(list);
  at("doubt").replaceChildren(...parts);
}

export function showAnswer(answer, model, player) {
  const hidden = new Set();
  const order = model.modalities;
  const course = () => {
    const windows = answer.windows.map((seen) => {
      const rest = new Set([...hidden].filter((m) => seen.prediction.used.includes(m)));
      if (rest.size && rest.size === seen.prediction.used.length) return { ...seen.prediction, refused: "hidden", probabilities: {}, score: null, used: [] };
      return without(seen, rest, order);
    });
    at("course").hidden = !windows.length;
    if (windows.length) drawCourse(windows, model, player);
  };
  const redraw = () => {
    const prediction = without(answer, hidden, order);
    headline(prediction);
    bars(prediction, answer.prediction, model.classes);
    at("bars").hidden = !model.classes.length;
    at("marks").hidden = !hidden.size || !model.classes.length;
    switches(answer, hidden, order, redraw);
    at("change").textContent = change(prediction, answer.prediction, hidden, order);
    doubt(prediction, hidden.size ? answer.hidden_doubt[key(hidden, order)] ?? [] : answer.doubt);
    course();
  };
  const timeless = answer.prediction.used.includes("text") && !answer.windows.some((seen) => seen.prediction.used.includes("text"));
  at("timeless").hidden = !timeless;
  at("nothing").hidden = true;
  at("told").hidden = false;
  redraw();
  window.onresize = course;
  at("json").textContent = JSON.stringify(answer, null, 1);
}
