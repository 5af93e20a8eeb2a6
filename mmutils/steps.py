"""A training loop's progress bar that can be stopped, without losing what was learned."""

import os
import signal
import threading


def steps(max_steps, *, losses=None, label=""):
    """Count a training loop's steps, 0 to max_steps - 1, under a progress bar.

        for step in steps(1000, losses=lossi):
            ...

    losses: the list to which the loop appends its losses; the bar shows the mean of the last 100, and reads them only
            when it redraws.
    label:  what stands in front of the bar.

    ■ (interrupt the kernel; Ctrl-C in a terminal) ends the loop after the step in hand, and the code after the loop
    goes on, so that what was learned can be used. A second ■ in the same loop raises KeyboardInterrupt at once. The
    signal handler that was there before is back after every way out. Off the main thread, where Python takes no
    signals, none is installed. With the environment variable MMUTILS_TEST set, no bar is drawn.

    Raises ValueError if max_steps is not a whole number, 0 or more.
    """
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 0:
        raise ValueError(f"max_steps={max_steps!r} must be a whole number, 0 or more: it says how often the loop runs.")
    return _Steps(max_steps, losses, label)


class _Steps:
    """What steps() returns. Each `for` gets a generator that nobody else holds, so a `break` closes it at once."""

    def __init__(self, max_steps, losses, label):
        self.max_steps, self.losses, self.label = max_steps, losses, label

    def __len__(self):
        return self.max_steps

    def __iter__(self):
        interrupted, done = False, 0

        def on_interrupt(signum, frame):
            nonlocal interrupted
            if interrupted:
                raise KeyboardInterrupt
            interrupted = True

        previous = None
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)  # None if it was not set by Python: then it is left alone
        if previous is not None:
            signal.signal(signal.SIGINT, on_interrupt)
        try:
            for step in _bar(self.max_steps, self.losses, self.label):
                yield step
                done = step + 1
                if interrupted:
                    break
        finally:
            if previous is not None:
                signal.signal(signal.SIGINT, previous)
        if done < self.max_steps:
            print(f"Stopped after {done:,} of {self.max_steps:,} steps. What was learned is kept: "
                  f"go on with it, or run the cell again to train in full.")


def _bar(max_steps, losses, label):
    """range(max_steps) under a tqdm bar: an ipywidgets bar in a notebook, text in a terminal."""
    if os.environ.get("MMUTILS_TEST"):
        return range(max_steps)
    from tqdm.auto import tqdm

    class Bar(tqdm):
        @property
        def format_dict(self):  # read by tqdm when it redraws, about ten times a second
            shown = super().format_dict
            if losses:
                last = [float(getattr(loss, "data", loss)) for loss in losses[-100:]]  # of tensors too
                shown["postfix"] = f"loss {sum(last) / len(last):.4f}"
            return shown

    return Bar(range(max_steps), desc=label or None, leave=False, unit=" steps")
