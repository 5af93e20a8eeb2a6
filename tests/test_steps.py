"""steps(): counts, shows the loss, and can be stopped: here, in a terminal, and in a real Jupyter kernel."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from jupyter_client import KernelManager

from mmutils import steps

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60  # seconds after which a kernel or a terminal that says nothing has hung


# ----- counting -------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["bar", "no bar"])
def bar(request, monkeypatch):
    """With a bar, and without one, as under make test."""
    if request.param == "bar":
        monkeypatch.delenv("MMUTILS_TEST", raising=False)
    else:
        monkeypatch.setenv("MMUTILS_TEST", "1")


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_it_counts_from_0(bar, n):
    loop = steps(n)
    assert len(loop) == n
    assert list(loop) == list(range(n))
    assert list(loop) == list(range(n))  # and again


@pytest.mark.parametrize("n", [-1, 2.0, 1e5, "10", None, True, float("nan")])
def test_a_number_of_steps_that_is_none_is_told_at_once(n):
    with pytest.raises(ValueError) as raised:
        steps(n)
    assert f"max_steps={n!r}" in str(raised.value) and "whole number, 0 or more" in str(raised.value)


def test_a_run_to_the_end_prints_nothing(bar, capsys):
    losses = []
    for step in steps(5, losses=losses, label="train"):
        losses.append(float(step))
    assert capsys.readouterr().out == ""


# ----- the bar --------------------------------------------------------------------------------------------------------

class Watched(list):
    """A list that counts how often it is read."""

    reads = 0

    def __getitem__(self, key):
        self.reads += 1
        return super().__getitem__(key)

    def __iter__(self):
        self.reads += 1
        return super().__iter__()


@pytest.fixture
def with_bar(monkeypatch):
    monkeypatch.delenv("MMUTILS_TEST", raising=False)


def test_losses_are_not_read_between_two_redraws(with_bar, monkeypatch):
    monkeypatch.setattr("tqdm.std.time", lambda: 1000.0)  # no time goes by, so nothing is due to be redrawn
    losses = Watched()
    for step in steps(1000, losses=losses):
        losses.append(float(step))
    assert losses.reads <= 2


def test_losses_are_read_when_the_bar_redraws(with_bar, monkeypatch):
    clock = itertools.count(1000.0, 1.0)
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock))  # a second a look: the bar redraws all the time
    losses = Watched()
    for step in steps(50, losses=losses):
        losses.append(float(step))
    assert losses.reads > 10


def test_without_a_bar_losses_are_never_read(monkeypatch):
    monkeypatch.setenv("MMUTILS_TEST", "1")
    losses = Watched([1.0])
    for step in steps(1000, losses=losses):
        losses.append(float(step))
    assert losses.reads == 0


@pytest.mark.parametrize("kind", [float, torch.tensor], ids=["float", "tensor"])
def test_the_bar_shows_the_label_and_the_mean_of_the_last_100_losses(with_bar, capfd, kind):
    losses = [kind(9.0)] * 50 + [kind(2.0)] * 50 + [kind(3.0)] * 50
    for _ in steps(3, losses=losses, label="two layers"):
        pass
    shown = capfd.readouterr().err
    assert "two layers" in shown and "loss 2.5000" in shown and "/3" in shown


def test_the_bar_shows_the_mean_of_fewer_losses_too(with_bar, capfd):
    for _ in steps(3, losses=[1.0, 2.0]):
        pass
    assert "loss 1.5000" in capfd.readouterr().err


@pytest.mark.parametrize("losses", [None, []])
def test_without_losses_the_bar_shows_none(with_bar, capfd, losses):
    for _ in steps(3, losses=losses):
        pass
    shown = capfd.readouterr().err
    assert "/3" in shown and "loss" not in shown


def test_no_bar_is_drawn_under_test(monkeypatch, capfd):
    monkeypatch.setenv("MMUTILS_TEST", "1")
    losses = []
    for _ in steps(3, losses=losses, label="two layers"):
        losses.append(1.0)
    assert capfd.readouterr() == ("", "")


# ----- stopping, in this process --------------------------------------------------------------------------------------

@pytest.fixture
def before(bar):
    """A signal handler of the test's own, which steps must put back; `before.calls` counts its calls."""
    def handler(signum, frame):
        handler.calls += 1

    handler.calls = 0
    previous = signal.signal(signal.SIGINT, handler)
    yield handler
    signal.signal(signal.SIGINT, previous)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def is_back(handler):
    return signal.getsignal(signal.SIGINT) is handler


def test_one_interrupt_ends_the_loop_after_the_step_in_hand(before, capsys):
    finished = []
    for step in steps(1000):
        if step == 3:
            interrupt()
        finished.append(step)
    assert finished == [0, 1, 2, 3]
    assert is_back(before) and before.calls == 0
    told = capsys.readouterr().out
    assert "Stopped after 4 of 1,000 steps" in told and "kept" in told


def test_a_second_interrupt_raises_at_once(before):
    finished = []
    with pytest.raises(KeyboardInterrupt):
        for step in steps(10):
            if step == 3:
                interrupt()
                interrupt()
            finished.append(step)
    assert finished == [0, 1, 2]
    assert is_back(before) and before.calls == 0


def test_an_interrupt_in_the_last_step_changes_nothing(before, capsys):
    finished = []
    for step in steps(3):
        if step == 2:
            interrupt()
        finished.append(step)
    assert finished == [0, 1, 2] and is_back(before)
    assert capsys.readouterr().out == ""


def test_the_next_loop_counts_interrupts_anew(before):
    loop, ends = steps(10), []
    for _ in range(3):
        for step in loop:
            if step == 1:
                interrupt()
        ends.append(step)
    assert ends == [1, 1, 1] and is_back(before)


def test_after_the_loop_an_interrupt_is_the_old_handlers(before):
    for _ in steps(3):
        pass
    interrupt()
    assert before.calls == 1


def to_the_end(loop, before):
    for _ in loop:
        assert not is_back(before)


def to_a_break(loop, before):
    for step in loop:
        if step == 2:
            break


def to_an_error(loop, before):
    with contextlib.suppress(ZeroDivisionError):
        for step in loop:
            1 / (2 - step)


def to_a_return(loop, before):
    for _ in loop:
        return


def through_zip(loop, before):
    for step, letter in zip(loop, "abc", strict=False):
        assert "abc"[step] == letter


def through_zip_behind(loop, before):
    for letter, step in zip("abc", loop, strict=False):
        assert "abc"[step] == letter


def through_enumerate(loop, before):
    for i, step in enumerate(loop):
        assert i == step
        if step == 2:
            break


def through_an_error_in_a_function(loop, before):
    def body():
        for _ in loop:
            raise RuntimeError
    with pytest.raises(RuntimeError) as held:  # which holds the traceback, and with it the function's frame
        body()
    assert is_back(before), held


WAYS_OUT = [to_the_end, to_a_break, to_an_error, to_a_return, through_zip, through_zip_behind, through_enumerate,
            through_an_error_in_a_function]


@pytest.mark.parametrize("way", WAYS_OUT, ids=lambda way: way.__name__)
@pytest.mark.parametrize("n", [1, 5])
def test_the_handler_is_back_after_every_way_out(before, capsys, way, n):
    loop = steps(n)  # held in a variable, while the loop is left
    way(loop, before)
    assert is_back(before)
    assert capsys.readouterr().out == ""  # only an interrupt is told


def test_a_loop_that_is_made_and_never_run_installs_nothing(before):
    loop = steps(5)
    iter(loop)
    assert is_back(before) and len(loop) == 5


def test_in_nested_loops_an_interrupt_ends_the_inner_one(before):
    seen = []
    for outer in steps(3):
        for inner in steps(100):
            if outer == 1 and inner == 1:
                interrupt()
        seen.append(inner)
    assert seen == [99, 1, 99] and is_back(before)


def test_after_an_inner_loop_an_interrupt_ends_the_outer_one(before):
    seen = []
    for outer in steps(100):
        for _ in steps(2):
            pass
        if outer == 1:
            interrupt()
        seen.append(outer)
    assert seen == [0, 1] and is_back(before)


def test_a_handler_that_python_did_not_set_is_left_alone(before, monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda signum: None)  # what it gives for such a handler
    assert list(steps(3)) == [0, 1, 2]
    monkeypatch.undo()
    assert is_back(before)


def test_off_the_main_thread_it_counts_and_installs_nothing(before):
    seen = []

    def count():
        for step in steps(3):
            seen.append((step, is_back(before)))

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert seen == [(0, True), (1, True), (2, True)]


# ----- stopping, in a terminal ----------------------------------------------------------------------------------------

TELL_INTERRUPTS = """
    import signal

    def tell_interrupts():
        "Say when steps' handler has had an interrupt: two that come too fast would be seen as one."
        handler = signal.getsignal(signal.SIGINT)
        def tell(signum, frame):
            handler(signum, frame)
            print("interrupt taken", flush=True)
        signal.signal(signal.SIGINT, tell)
"""

SCRIPT = """
    import time
    from mmutils import steps

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    losses = []
    for step in steps(1_000_000, losses=losses, label="train"):
        if step == 0:
            tell_interrupts()
        losses.append(1.25)
        time.sleep({seconds})
        if step == 30:
            print("running", flush=True)
    print("after", len(losses) == step + 1, signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""


def source(text, **settings):
    return textwrap.dedent(TELL_INTERRUPTS) + textwrap.dedent(text.format(**settings) if settings else text)


class Terminal:
    """A Python script that runs under a pseudo-terminal."""

    def __init__(self, script, env):
        import pty
        import termios
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))  # in a terminal without rows there is no room for a bar
        self.process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=env, stdin=theirs, stdout=theirs,
                                        stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.ours, self.shown = ours, ""
        self.timer = threading.Timer(PATIENCE, self.process.kill)
        self.timer.start()

    def read(self):
        """Wait for more to be shown; False at its end."""
        try:
            more = os.read(self.ours, 65536)
        except OSError:  # how Linux tells that nobody writes any more
            more = b""
        self.shown += more.decode(errors="replace")
        return bool(more)

    def read_until(self, text):
        while text not in self.shown:
            assert self.read(), f"it ended before it showed {text!r}:\n{self.shown}"

    def read_all(self):
        while self.read():
            pass
        return self.process.wait(PATIENCE)

    def close(self):
        self.timer.cancel()
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.ours)


@pytest.fixture
def terminal():
    pytest.importorskip("termios")  # Windows has no pseudo-terminals
    env = dict(os.environ)
    env.pop("MMUTILS_TEST", None)
    with contextlib.ExitStack() as stack:
        def start(script, **more):
            opened = Terminal(script, env | more)
            stack.callback(opened.close)
            return opened
        yield start


def test_in_a_terminal_one_interrupt_ends_the_loop_and_the_script_goes_on(terminal):
    screen = terminal(source(SCRIPT, seconds=0.01))
    screen.read_until("running")
    screen.process.send_signal(signal.SIGINT)
    assert screen.read_all() == 0, screen.shown
    assert "after True True" in screen.shown
    assert "Stopped after" in screen.shown and "of 1,000,000 steps" in screen.shown
    assert "train" in screen.shown and "loss 1.2500" in screen.shown
    assert "Traceback" not in screen.shown


def test_in_a_terminal_two_interrupts_stop_the_script(terminal):
    script = SCRIPT.replace("if step == 30:\n", "if False:\n").replace("time.sleep(", "print('running', flush=True)\n"
                                                                      "        time.sleep(")
    screen = terminal(source(script, seconds=2 * PATIENCE))
    screen.read_until("running")
    screen.process.send_signal(signal.SIGINT)
    screen.read_until("interrupt taken")
    assert screen.process.poll() is None  # the step in hand goes on
    screen.process.send_signal(signal.SIGINT)
    assert screen.read_all() not in (0, -signal.SIGKILL)
    assert "KeyboardInterrupt" in screen.shown and "after True" not in screen.shown


def test_in_a_terminal_no_bar_is_drawn_under_test(terminal):
    screen = terminal("from mmutils import steps\nfor _ in steps(3, label='train'):\n    pass\nprint('after')",
                      MMUTILS_TEST="1")
    assert screen.read_all() == 0
    assert screen.shown.strip() == "after"


# ----- stopping, in a Jupyter kernel ----------------------------------------------------------------------------------

class Kernel:
    """A Jupyter kernel, as JupyterLab starts one, and what its cells show."""

    def __init__(self, folder, env):
        self.errors = folder / "stderr.txt"
        with self.errors.open("wb") as errors:
            self.manager = KernelManager(kernel_name="python3")
            self.manager.start_kernel(env=env, cwd=str(ROOT), stdout=subprocess.DEVNULL, stderr=errors)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.messages = {}  # id of a cell's request → what came from it

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, code):
        """Queue a cell; give its id."""
        cell = self.client.execute(textwrap.dedent(code))
        self.messages[cell] = []
        return cell

    def receive(self):
        message = self.client.get_iopub_msg(timeout=PATIENCE)
        self.messages.setdefault(message["parent_header"].get("msg_id"), []).append(message)

    def printed(self, cell, stream="stdout"):
        return "".join(message["content"]["text"] for message in self.messages[cell]
                       if message["msg_type"] == "stream" and message["content"]["name"] == stream)

    def interrupt_when(self, cell, text):
        """Press ■ once the cell has printed `text`."""
        while text not in self.printed(cell):
            self.receive()
        self.manager.interrupt_kernel()

    def finish(self, cell):
        """Wait for a cell to end; give its status: ok, error's name, or aborted."""
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"]["msg_id"] == cell:
                break
        while not any(message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
                      for message in self.messages[cell]):
            self.receive()
        return reply["content"].get("ename") or reply["content"]["status"]


@pytest.fixture(scope="module", params=["as a reader has it", "under test"])
def kernel(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    env = os.environ | {"IPYTHONDIR": str(folder), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # nobody's own settings
    env.pop("MMUTILS_TEST", None)
    if request.param == "under test":
        env["MMUTILS_TEST"] = "1"
    kernel = Kernel(folder, env)
    kernel.under_test = request.param == "under test"
    try:
        assert kernel.finish(kernel.run(source("import time\nfrom mmutils import steps"))) == "ok"
        yield kernel
    finally:
        kernel.close()
    told = [line for line in kernel.errors.read_text().splitlines() if not line.startswith("[IPKernelApp] WARNING")]
    assert told == []


def assert_quiet(kernel, cell):
    """No text but the cell's own, and a bar only where one belongs."""
    assert kernel.printed(cell, "stderr") == ""
    drawn = any(message["msg_type"] == "display_data" for message in kernel.messages[cell])
    assert drawn is not kernel.under_test


def assert_handler_is_back(kernel):
    """An interrupt of another cell raises KeyboardInterrupt, as it did before."""
    cell = kernel.run("""
        print("looping", flush=True)
        while True:
            pass
    """)
    kernel.interrupt_when(cell, "looping")
    assert kernel.finish(cell) == "KeyboardInterrupt"


def test_in_a_kernel_one_interrupt_ends_the_loop_and_the_cell_goes_on(kernel):
    cell = kernel.run("""
        begun, ended, losses = 0, 0, []
        for step in steps(1_000_000, losses=losses):
            begun += 1
            losses.append(1.25)
            if step == 20:
                print("running", flush=True)
            time.sleep(0.01)
            ended += 1
        print("after", begun == ended == step + 1 == len(losses))
    """)
    following = kernel.run("print('the next cell')")
    kernel.interrupt_when(cell, "running")
    assert kernel.finish(cell) == "ok"
    assert "after True" in kernel.printed(cell) and "of 1,000,000 steps" in kernel.printed(cell)
    assert kernel.finish(following) == "ok"
    assert kernel.printed(following) == "the next cell\n"
    assert_quiet(kernel, cell)
    assert_handler_is_back(kernel)


def test_in_a_kernel_two_interrupts_stop_the_cell_and_those_queued_after_it(kernel):
    cell = kernel.run(f"""
        for step in steps(10):
            tell_interrupts()
            print("running", flush=True)
            time.sleep({2 * PATIENCE})
        print("after")
    """)
    following = [kernel.run("print('the next cell')"), kernel.run("1")]
    kernel.interrupt_when(cell, "running")
    kernel.interrupt_when(cell, "interrupt taken")
    assert kernel.finish(cell) == "KeyboardInterrupt"
    assert "after" not in kernel.printed(cell)
    assert [kernel.finish(cell) for cell in following] == ["aborted", "aborted"]
    assert_quiet(kernel, cell)
    assert_handler_is_back(kernel)


def test_in_a_kernel_the_handler_is_back_after_a_break(kernel):
    cell = kernel.run("""
        loop = steps(10)
        for step in loop:
            if step == 2:
                break
    """)
    assert kernel.finish(cell) == "ok"
    assert_handler_is_back(kernel)


def test_in_a_kernel_the_handler_is_back_after_an_error(kernel):
    cell = kernel.run("""
        for step in steps(10):
            1 / 0
    """)
    assert kernel.finish(cell) == "ZeroDivisionError"
    assert_handler_is_back(kernel)


def test_in_a_kernel_the_same_cell_can_be_stopped_again_and_again(kernel):
    for _ in range(2):
        cell = kernel.run("""
            for step in steps(1_000_000):
                if step == 2:
                    print("running", flush=True)
                time.sleep(0.01)
        """)
        kernel.interrupt_when(cell, "running")
        assert kernel.finish(cell) == "ok"
        assert "Stopped after" in kernel.printed(cell)
