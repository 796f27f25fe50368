// The page: a clip in, by file, drop or recording; an answer out. Nothing is kept, here or there.
import { showAnswer } from "./answer.js";
import { record, recorderKinds } from "./record.js";

const at = (id) => document.getElementById(id);
const CAPTIONS = /\.(srt|vtt|ass|ssa)$/i;
const clip = { media: null, captions: null, seconds: null };
let recording = null;
let asking = null;
let model = { limits: {} };

function say(sentence, kind = "") {
  at("status").className = kind;
  at("status").textContent = sentence;
}

function megabytes(bytes) {
  return bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function present() {
  const player = at("picture");
  const there = clip.media !== null || recording !== null;
  at("preview").hidden = !there;
  at("stop").hidden = recording === null;
  at("remove").hidden = recording !== null;
  at("recorders").hidden = recording !== null;
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

function take(media, seconds = null) {
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

async function takeFiles(files) {
  for (const file of files) {
    if (CAPTIONS.test(file.name)) {
      clip.captions = file;
      present();
      say(`${file.name} is taken as the transcript.`);
    } else if (/\.txt$/i.test(file.name)) {
      at("text").value = await file.text();
    } else {
      const most = model.limits.max_megabytes;
      if (file.size > most * 1e6) say(`${file.name} has ${megabytes(file.size)}; this server takes ${most} MB.`, "wrong");
      else take(file);
    }
  }
}

async function start(kind) {
  try {
    say("");
    clip.captions = null;
    recording = await record(kind, at("picture"), (seconds) => { at("clock").textContent = clock(seconds); });
  } catch (error) {
    const told = { NotAllowedError: "the browser was not allowed to", NotFoundError: "there is none" };
    say(`No ${kind === "both" ? "camera or microphone" : "microphone"}: ${told[error.name] ?? error.message}.`, "wrong");
    return;
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
  const most = model.limits.max_seconds;
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
  asking = new AbortController();
  present();
  const started = Date.now();
  const told = () => say(`Reading it … ${Math.round((Date.now() - started) / 1000)} s`, "busy");
  say("Reading it …", "busy");
  const ticking = setInterval(told, 1000);
  try {
    const reply = await fetch("/predict", { method: "POST", body: form(), signal: asking.signal });
    const content = await reply.json();
    if (!reply.ok) throw new Error(content.message);
    showAnswer(content, model, at("picture"));
    say(`Answered in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
    at("answer-title").focus();
  } catch (error) {
    const gone = error instanceof TypeError ? "The server cannot be reached." : error.message;
    say(error.name === "AbortError" ? "Cancelled." : gone, error.name === "AbortError" ? "" : "wrong");
  } finally {
    clearInterval(ticking);
    asking = null;
    present();
  }
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

at("place").textContent = location.host;
for (const kind of ["both", "sound"]) at(`record-${kind}`).hidden = !recorderKinds();
present();
model = await (await fetch("/model")).json();
const licence = model.licence ? `, ${model.licence}` : "";
at("model").textContent = `Answered by ${model.method} on ${model.dataset}${licence}; cmarr ${model.version}.`;
document.body.dataset.ready = "yes";
