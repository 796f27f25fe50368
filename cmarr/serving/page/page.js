// The page: a clip in, by file, drop or recording; an answer out. Nothing is kept, here or there.
import { showAnswer } from "./answer.js";
import { record, recorderKinds } from "./record.js";

const at = (id) => document.getElementById(id);
const CAPTIONS = /\.(srt|vtt|ass|ssa)$/i;
const clip = { media: null, captions: null, seconds: null };
let recording = null;
let asking = null;
let model = null;

function say(sentence, kind = "") {
  at("status").className = kind;
  at("status").textContent = sentence;
}

// Which model answers; asked again with every question, for the server may have been started anew.
async function know() {
  model = await (await fetch("/model")).json();
  const terms = model.terms ? ` (${model.terms})` : "";
  at("model").textContent = `The model is ${model.name}${terms}. cmarr ${model.version}.`;
}

function megabytes(bytes) {
  return bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.floor(seconds); // as players do
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function present() {
  const player = at("picture");
  const there = clip.media !== null || recording !== null;
  at("preview").hidden = !there;
  at("stop").hidden = recording === null;
  at("remove").hidden = recording !== null;
  at("recorders").hidden = recording !== null || !recorderKinds();
  at("drop").hidden = recording !== null;
  at("send").disabled = recording !== null || asking !== null;
  at("cancel").hidden = asking === null;
  if (recording === null && clip.media !== null) {
    const sound = clip.media.type.startsWith("audio");
    player.className = sound ? "sound" : "";
    player.controls = true;
    player.muted = false;
    const beside = clip.captions ? `, with ${clip.captions.name}` : "";
    at("name").textContent = `${clip.media.name || "Your recording"}, ${megabytes(clip.media.size)}${beside}`;
  }
  if (!there) at("clock").textContent = "";
}

function release() {
  const player = at("picture");
  if (player.src) URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  player.srcObject = null;
}

function forget() {
  at("nothing").hidden = false;
  at("told").hidden = true;
}

// An answer on its way is to something else than what is there now.
function leave() {
  asking?.abort();
  asking = null;
}

function take(media, seconds = null) {
  leave();
  release();
  clip.media = media;
  clip.seconds = seconds;
  forget();
  if (media !== null) {
    at("picture").src = URL.createObjectURL(media);
    at("clock").textContent = clock(seconds ?? NaN);
  }
  present();
  say("");
}

// Why a file cannot be taken; null where it can.
async function refused(file, most, unit) {
  if (file.size > most) return `${file.name} has ${megabytes(file.size)}; this server takes ${unit}.`;
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return `${file.name} cannot be read; it may be a folder, or gone.`;
  }
  return file.size ? null : `${file.name} is empty.`;
}

async function takeFiles(files) {
  const limits = model?.limits ?? {};
  const told = [];
  let media = null;
  for (const file of [...files]) { // a copy: the list itself is emptied meanwhile
    const words = /\.txt$/i.test(file.name);
    const wrong = words
      ? await refused(file, 4 * limits.max_characters, `${limits.max_characters} characters`)
      : await refused(file, 1e6 * limits.max_megabytes, `${limits.max_megabytes} MB`);
    if (wrong) told.push(wrong);
    else if (words) at("text").value = await file.text();
    else if (CAPTIONS.test(file.name)) { leave(); clip.captions = file; }
    else if (media) told.push(`${file.name} is left out: one clip at a time.`);
    else media = file;
  }
  if (media) take(media);
  present();
  if (told.length) say(told.join(" "), "wrong");
  else if (!media && clip.captions) say(`${clip.captions.name} is taken as the transcript.`);
}

const REFUSED = {
  NotAllowedError: "the browser was not allowed to; its address bar lets you change that",
  NotFoundError: "there is none",
  NotReadableError: "another program holds it",
};

async function start(kind) {
  leave();
  for (const button of at("recorders").children) button.disabled = true; // until the browser has been allowed to, or not
  try {
    say("");
    clip.captions = null;
    recording = await record(kind, at("picture"), (seconds) => { at("clock").textContent = clock(seconds); });
  } catch (error) {
    say(`No ${kind === "both" ? "camera or microphone" : "microphone"}: ${REFUSED[error.name] ?? error.message}.`, "wrong");
    return;
  } finally {
    for (const button of at("recorders").children) button.disabled = false;
  }
  release();
  clip.media = null;
  forget();
  const player = at("picture");
  player.className = kind === "both" ? "" : "sound";
  player.controls = false;
  player.muted = true;
  player.srcObject = recording.stream;
  player.play().catch(() => {});
  at("name").textContent = "Recording";
  present();
  at("stop").focus();
  const most = model?.limits.max_seconds ?? 60;
  const { blob, seconds } = await recording.finished(most);
  recording = null;
  take(blob, seconds);
  at("send").focus();
}

// A window long enough for an utterance, and not more of them than can be read in the time there is.
function windowOf(seconds) {
  if (at("window").value) return Number(at("window").value);
  return seconds > 8 ? Math.max(3, Math.ceil(seconds / 40)) : null;
}

function form() {
  const fields = new FormData();
  if (clip.media) {
    const sound = clip.media.type.startsWith("audio");
    fields.append(sound ? "audio" : "clip", clip.media, clip.media.name || "recording");
    const seconds = clip.seconds ?? at("picture").duration;
    const span = windowOf(Number.isFinite(seconds) ? seconds : 0);
    if (span) {
      fields.append("window", span);
      fields.append("hop", seconds > 60 ? span : span / 2);
    }
  }
  if (clip.captions) fields.append("captions", clip.captions, clip.captions.name);
  if (at("text").value.trim()) fields.append("text", at("text").value.trim());
  return fields;
}

async function ask() {
  if (!clip.media && !clip.captions && !at("text").value.trim()) {
    say("Choose or record a clip, or write what is said.", "wrong");
    return;
  }
  const own = new AbortController();
  asking = own;
  present();
  const started = Date.now();
  say("Reading it …", "busy");
  const elapsed = document.createElement("span");
  elapsed.ariaHidden = "true"; // nobody wants to hear every second
  at("status").append(elapsed);
  const ticking = setInterval(() => { elapsed.textContent = ` ${Math.round((Date.now() - started) / 1000)} s`; }, 1000);
  try {
    const reply = await fetch("/predict", { method: "POST", body: form(), signal: own.signal });
    const content = await reply.json().catch(() => ({ message: `The server answered ${reply.status}, and not in words.` }));
    if (!reply.ok || !content.prediction) throw new Error(content.message);
    await know();
    if (asking !== own) return;
    showAnswer(content, model, at("picture"));
    say(`Answered in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
    at("answer-title").focus();
  } catch (error) {
    if (asking !== own) return;
    if (error.name === "AbortError") say("Cancelled.");
    else say(error instanceof TypeError ? await lost() : error.message, "wrong");
  } finally {
    clearInterval(ticking);
    if (asking === own) asking = null;
    present();
  }
}

// Why a question did not arrive: a browser says the same whether the server has gone or the file.
async function lost() {
  const there = await fetch("/ping").then((reply) => reply.ok, () => false);
  return there ? "It did not arrive whole; choose the clip again, it may have been changed or moved." : "The server cannot be reached; is it running?";
}

at("file").addEventListener("change", (event) => { takeFiles(event.target.files); event.target.value = ""; });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !recording) takeFiles(event.dataTransfer.files);
  });
}
at("record-both").addEventListener("click", () => start("both"));
at("record-sound").addEventListener("click", () => start("sound"));
at("stop").addEventListener("click", () => recording?.stop());
at("remove").addEventListener("click", () => { clip.captions = null; take(null); at("file").focus(); });
at("cancel").addEventListener("click", () => asking?.abort());
at("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
at("picture").addEventListener("loadedmetadata", (event) => {
  if (!recording && clip.seconds === null) at("clock").textContent = clock(event.target.duration);
});

at("window").addEventListener("invalid", (event) => { event.target.closest("details").open = true; });

at("place").textContent = location.host;
at("no-recorder").hidden = recorderKinds();
present();
await know().catch(() => say("The server cannot be reached; is it running?", "wrong"));
document.body.dataset.ready = "yes";
