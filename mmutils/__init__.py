"""mmutils: what every notebook of the makemore course leans on. Loading words, progress bars, figures."""

import torch

from mmutils.data import bench_results, build_dataset, build_vocabulary, is_lecture_list, load_words, split_words
from mmutils.steps import steps
from mmutils.watch import watch

__all__ = ["bench_results", "build_dataset", "build_vocabulary", "is_lecture_list", "load_words",
           "split_words", "steps", "use_style", "watch"]


def __getattr__(name):
    """Fetch use_style when it is first asked for: figures.py loads matplotlib, and makemore.py needs none of that."""
    if name == "use_style":
        from mmutils.figures import use_style
        return use_style
    raise AttributeError(f"module 'mmutils' has no attribute {name!r}")


def _ignore_fused(optimizer):
    """Let an optimiser take fused=True where torch has no fused form of it, and do without."""
    init = optimizer.__init__
    optimizer.__init__ = lambda self, *args, fused=None, **kwargs: init(self, *args, **kwargs)


if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 4):      # Intel Macs: no fused AdamW on a CPU before 2.4
    _ignore_fused(torch.optim.AdamW)
