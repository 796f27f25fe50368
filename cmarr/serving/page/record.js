// Recording from camera and microphone, in the browser alone.

const KINDS = {
  both: ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"],
  sound: ["audio/webm;codecs=opus", "audio/webm", "audio/mp4"],
};

export function recorderKinds() {
  return Boolean(navigator.mediaDevices && window.MediaRecorder);
}

// What is being recorded: its stream, `stop`, and `finished`, which gives {blob, seconds} once it has been stopped.
export async function record(kind, player, tick) {
  const wanted = { audio: true, video: kind === "both" ? { width: { ideal: 640 }, height: { ideal: 480 } } : false };
  const stream = await navigator.mediaDevices.getUserMedia(wanted);
  const type = KINDS[kind].find((name) => MediaRecorder.isTypeSupported(name));
  let recorder;
  try {
    recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 1_500_000 });
  } catch (error) {
    for (const track of stream.getTracks()) track.stop(); // the camera's light goes out
    throw error;
  }
  const parts = [];
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.start(1000);
  tick(0);
  const stop = () => { if (recorder.state !== "inactive") recorder.stop(); };
  return {
    stream,
    stop,
    finished: (most) => new Promise((resolve) => {
      const ticking = setInterval(() => {
        tick(seconds());
        if (seconds() > most) stop();
      }, 250);
      recorder.addEventListener("stop", () => {
        clearInterval(ticking);
        const length = seconds();
        for (const track of stream.getTracks()) track.stop();
        const plain = (recorder.mimeType || type).split(";")[0];
        resolve({ blob: new Blob(parts, { type: plain }), seconds: length });
      });
    }),
  };
}
