"""A real browser at the server's page, and its pictures: `python -m tests.browser` makes docs/page.png again."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

OPTIONS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""A camera that shows a turning disc, a microphone that beeps, and nobody who is asked."""

SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 900)}


def missing():
    """Why there is no browser; None where there is one."""
    try:
        import playwright.sync_api  # noqa: F401
    except ModuleNotFoundError:
        return "playwright is not installed (pip install 'cmarr[dev]')"
    if not any(map(shutil.which, BROWSERS)):
        return f"there is no browser here ({', '.join(BROWSERS)})"
    return None


@contextmanager
def browser():
    """A browser without a window, with a camera and a microphone that are none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)))
        running = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        try:
            yield running
        finally:
            running.close()


def recording(folder, speaker="01f", emotions=("neutral", "happy", "angry", "sad")):
    """A film of a drawn person of the demo corpus who goes through some emotions, and what is said in it (.srt)."""
    import av
    import numpy as np

    from cmarr.corpora.demo import generate, speech

    takes = [take for take in generate.plan(0, 5, 240) if take.speaker.id == speaker]
    chosen = [next(take for take in takes if take.emotion == emotion) for emotion in emotions]
    frames, waves, lines, begin = [], [], [], 0.0
    for number, take in enumerate(chosen, start=1):
        rng = np.random.default_rng([*take.seed, 1])
        track = generate.tracks(take)
        waves.append(speech.synthesise(track, generate.voice(take), rng))
        portrait = generate._portrait(take.speaker, True)
        frames += [portrait.frame(e) for e in generate.expressions(take, track, rng)]
        end = len(frames) / generate.FRAMES_PER_SECOND
        lines.append(f"{number}\n{_stamp(begin)} --> {_stamp(end)}\n{take.text}\n")
        begin = end
    film, said = Path(folder, "interview.mp4"), Path(folder, "interview.srt")
    said.write_text("\n".join(lines))
    with av.open(str(film), "w") as container:
        picture = container.add_stream("libx264", rate=generate.FRAMES_PER_SECOND)
        picture.width, picture.height, picture.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        sound = container.add_stream("aac", rate=speech.SAMPLE_RATE, layout="mono")
        for frame in frames:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        samples = np.concatenate(waves).astype(np.float32)[None]
        heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        heard.sample_rate = speech.SAMPLE_RATE
        container.mux([*sound.encode(heard), *sound.encode(None), *picture.encode(None)])
    return film, said


def _stamp(seconds):
    return f"00:00:{int(seconds):02d},{int(seconds % 1 * 1000):03d}"


def visit(context, url):
    """The page, when it is ready."""
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    return page


def answer(page, files=(), text=""):
    """Ask about some files and a text, and wait for the answer."""
    if files:
        page.set_input_files("#file", [str(file) for file in files])
        page.wait_for_selector("#clock:not(:empty)")  # its length is known
    page.fill("#text", text)
    page.click("#send")
    page.wait_for_selector("#told:not([hidden])", timeout=240_000)


def pictures(url, folder, film, said):
    """Pictures of the page at three widths, light and dark, with an answer and without: for looking at."""
    with browser() as running:
        for scheme in ("light", "dark"):
            for name, (width, height) in SIZES.items():
                with running.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                ) as context:
                    page = visit(context, url)
                    page.screenshot(path=str(Path(folder, f"{name}-{scheme}-empty.png")), full_page=True)
                    answer(page, [film, said])
                    page.click("#modalities button >> nth=-1")
                    page.screenshot(path=str(Path(folder, f"{name}-{scheme}.png")), full_page=True)


def front_page(url, film, said, path):
    """The picture of the README: small, with an answer."""
    with browser() as running, running.new_context(viewport={"width": 1100, "height": 800}) as context:
        page = visit(context, url)
        answer(page, [film, said])
        page.evaluate("document.getElementById('picture').currentTime = 1")
        # How long it took tells of the machine that draws.
        page.evaluate("document.getElementById('status').textContent = ''")
        page.wait_for_timeout(500)
        page.screenshot(path=str(path), full_page=True)
    from PIL import Image

    with Image.open(path) as whole:
        whole.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, help="a folder for pictures at three widths, light and dark")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "cmarr.cli", "serve", "--model", "starter", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            url = server.stdout.readline().split(" at ")[-1].strip().removesuffix("invocations")
            film, said = recording(scratch)
            if arguments.all:
                arguments.all.mkdir(parents=True, exist_ok=True)
                pictures(url, arguments.all, film, said)
            else:
                front_page(url, film, said, ROOT / "docs" / "page.png")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
