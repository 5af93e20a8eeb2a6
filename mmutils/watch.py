"""Look inside a net: every layer keeps what it put out, with its gradient."""

import contextlib

import torch.nn as nn


@contextlib.contextmanager
def watch(model):
    """While the block runs, every layer of the model keeps its output as `.out`, gradient retained.

        with watch(model):
            loss = F.cross_entropy(model(X), Y)
            loss.backward()
        figures.activations(model)

    model: a list of layers as the lectures make them (objects that are called), or a torch.nn.Module, of which all
    modules without children of their own are watched. An output that is no tensor is left alone; a layer that is called
    twice keeps the second output. After the block nothing is kept any more that is computed later, but `.out` stays, so
    that it can be looked at. Yields the list of watched layers.

    Raises TypeError if the model is neither.
    """
    if isinstance(model, nn.Module):
        layers = [module for module in model.modules() if not list(module.children())]
        handles = [module.register_forward_hook(lambda module, _, out: keep(module, out)) for module in layers]
        try:
            yield layers
        finally:
            for handle in handles:
                handle.remove()
    elif isinstance(model, (list, tuple)) and all(map(callable, model)):
        layers, watched = list(model), {id(layer) for layer in model}
        originals = {kind: kind.__call__ for kind in {type(layer) for layer in layers}}

        def watching(original):
            def call(self, *args, **kwargs):
                out = original(self, *args, **kwargs)
                if id(self) in watched:
                    keep(self, out)
                return out
            return call

        # Python looks a call up in the class, so that is where it has to be caught; other objects of it are let pass
        for kind, original in originals.items():
            kind.__call__ = watching(original)
        try:
            yield layers
        finally:
            for kind, original in originals.items():
                kind.__call__ = original
    else:
        raise TypeError(f"watch() takes a list of layers or a torch.nn model, not a {type(model).__name__}.")


def keep(layer, out):
    """Remember a layer's output, and have autograd remember its gradient."""
    if hasattr(out, "requires_grad"):
        layer.out = out
        if out.requires_grad:
            out.retain_grad()
