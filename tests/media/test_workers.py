"""Worker processes: answers in order, and no clip can take the run down or hold it up."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in_decoders import ByName, DiesWhileStarting, SecondClipKills, WithoutModel

from cmarr.errors import UserError
from cmarr.media import worker_pool
from cmarr.media.clips import GROUP_LIMIT, Clip, Failure, by_file
from cmarr.media.worker_pool import IN_FLIGHT, IdleWorkers, decode

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def none_stays():
    """As outside the tests, where workers are Python's own processes and end with their results."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "IDLE", IdleWorkers())
        patched.setattr(worker_pool, "get_executable", lambda: sys.executable)
        yield


def groups(*names):
    return [[Clip(name)] for name in names]


def test_answers_come_in_order_whoever_finishes_first():
    names = ["slow", *(f"quick{i}" for i in range(9))]
    answers = list(decode(ByName, groups(*names), workers=2))
    assert [clip.path for clip, _ in answers] == names
    assert 1 <= len({process for _, process in answers}) <= 2
    assert os.getpid() not in {process for _, process in answers}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dead_worker_costs_one_clip(workers):
    names = ["a", "exits", "b", "killed", "c", "d"]
    answers = list(decode(ByName, groups(*names), workers=workers))
    assert answers[1] == Failure("the decoder crashed (exit status 3) on exits")
    assert answers[3] == Failure("the decoder crashed (signal SIGKILL) on killed")
    assert [answers[i][0].path for i in (0, 2, 4, 5)] == ["a", "b", "c", "d"]


def test_a_stuck_worker_is_ended_after_the_time_limit():
    answers = list(decode(ByName, groups("a", "hangs", "b"), workers=1, seconds=4.0))
    assert answers[1] == Failure("decoding took longer than 4 s on hangs")
    assert [answers[i][0].path for i in (0, 2)] == ["a", "b"]


def test_an_exception_is_the_answer_for_its_clip_and_the_worker_lives_on():
    before, unreadable, surprising, after = decode(
        ByName, groups("a", "unreadable", "surprising", "b"), workers=1
    )
    assert unreadable == Failure("unreadable is unreadable; fetch it again")
    assert surprising.reason.startswith("ZeroDivisionError: division by zero")
    assert surprising.reason.endswith("on surprising")
    assert before[1] == after[1]  # the same process


def test_one_bad_clip_does_not_cost_its_neighbours_in_the_same_file():
    clips = [Clip("dialogue", start) for start in range(4)]
    answers = list(decode(SecondClipKills, [clips, [Clip("other", 9)]], workers=2))
    assert answers[2] == Failure("the decoder crashed (exit status 1) on dialogue")
    assert [a for a in answers if not isinstance(a, Failure)] == [
        clips[0],
        clips[1],
        clips[3],
        Clip("other", 9),
    ]


def test_look_ahead_is_bounded(tmp_path):
    drawn, first = [], tmp_path / "waits"

    def endless():
        for i in range(10**9):
            drawn.append(i)
            if len(drawn) == 4:
                first.touch()
            yield [Clip(f"{i}" if i else str(first))]

    answers = decode(ByName, endless(), workers=2)
    next(answers)  # while the first waits for the other worker to be ahead, that one does not run away
    answers.close()
    assert 4 <= len(drawn) <= 2 * IN_FLIGHT


def test_no_process_outlives_the_answers():
    answers = decode(ByName, groups(*"abcdef"), workers=2)
    _, process = next(answers)
    answers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_what_a_worker_lacks_is_said_in_its_own_words():
    with pytest.raises(UserError, match=r"model\.onnx does not exist; set its path"):
        next(decode(WithoutModel, groups("a")))


def test_a_worker_that_dies_while_starting_is_no_fault_of_the_file():
    with pytest.raises(UserError, match="ended while starting"):
        next(decode(DiesWhileStarting, groups("a")))


def test_no_clips_no_processes():
    assert list(decode(WithoutModel, [])) == []


def test_neighbouring_clips_of_a_file_are_decoded_together():
    clips = [Clip("a", 0), Clip("a", 1), Clip("b", 0), Clip("a", 2)]
    assert list(by_file(clips)) == [clips[:2], clips[2:3], clips[3:]]
    sizes = [len(group) for group in by_file([Clip("a", i) for i in range(GROUP_LIMIT + 1)])]
    assert sizes == [GROUP_LIMIT, 1]


def test_long_dialogues_keep_every_worker_busy():
    """Files of more clips than may otherwise wait: the second is not put off until the first is done."""
    dialogues = [[Clip(name, start) for start in range(3 * IN_FLIGHT)] for name in ("one", "two", "three")]
    answers = list(decode(ByName, dialogues, workers=2))
    assert [clip for clip, _ in answers] == [clip for group in dialogues for clip in group]
    assert len({process for _, process in answers}) == 2


@pytest.mark.parametrize("asked", [True, False])
def test_a_worker_whose_parent_is_gone_ends_quietly(asked):
    ours, its = multiprocessing.Pipe()
    command = [sys.executable, "-m", "cmarr.media.worker", str(its.fileno())]
    worker = subprocess.Popen(command, pass_fds=[its.fileno()], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    its.close()
    if asked:
        ours.send(list)
    ours.close()  # before it can say that it is ready
    assert worker.communicate(timeout=240)[1] == ""
    assert worker.returncode == 0
