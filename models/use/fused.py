"""A network rewritten for a processor: each convolution with its normalisation and activation as one operation of oneDNN."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from landshift.models.network.siamese import ChangeNetwork, Siamese

_ACTIVATIONS: Mapping[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
}
"""What oneDNN calls them, and their numbers."""
_FUNCTIONS = {torch.relu: nn.ReLU, functional.relu: nn.ReLU, functional.relu6: nn.ReLU6, functional.silu: nn.SiLU}


def can_fuse() -> bool:
    """Return whether this PyTorch has the operation."""
    has: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def fuse_network(network: Siamese) -> Siamese:
    """Return a copy that computes the same on a processor, but for rounding, in less time.

    Batch normalisation is folded into the convolution before it, the activation is applied where the result is written, and
    images go through with their bands last. Whatever is not known here stays as it is.

    Args:
        network: In evaluation mode, on the CPU, in float32; it stays as it is.

    Raises:
        Exception: Whatever PyTorch raises where the course of a network depends on its image, as in some transformers.
    """
    twin = copy.deepcopy(network).eval()
    twin.encoder = BandsLast(_rewrite(twin.encoder))
    if isinstance(twin, ChangeNetwork):
        if twin.change_decoder is not None:
            listed = _ListedWithPriors if network.spec.priors else _Listed
            twin.change_decoder = _Spread(_rewrite(listed(twin.change_decoder)))  # type: ignore[assignment]
        if twin.landuse_decoder is not None:
            twin.landuse_decoder = _Spread(_rewrite(_Listed(twin.landuse_decoder)))  # type: ignore[assignment]
    return twin


class BandsLast(nn.Module):
    """An encoder whose images are laid out with their bands last."""

    def __init__(self, encoder: nn.Module) -> None:
        """Wrap an encoder."""
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps of an image (batch, band, y, x)."""
        return list(self.encoder(image.contiguous(memory_format=torch.channels_last)))


class _Spread(nn.Module):
    """A rewritten decoder, called as one that is not."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: list[Tensor], priors: Tensor | None = None) -> Tensor:
        logits: Tensor = self.decoder(*features) if priors is None else self.decoder(*features, priors)
        return logits


class _Listed(nn.Module):
    """A decoder that takes its six maps one by one: of a list, tracing does not know how long it is."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
        logits: Tensor = self.decoder([a, b, c, d, e, f])
        return logits


class _ListedWithPriors(_Listed):
    """The same of a decoder that sees priors."""

    def forward(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, priors: Tensor) -> Tensor:  # type: ignore[override]
        logits: Tensor = self.decoder([a, b, c, d, e, f], priors)
        return logits


class _Tracer(fx.Tracer):
    """Looks into everything but convolutions and normalisations, of which timm has kinds of its own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


@dataclass(frozen=True)
class _Run:
    """A convolution and what can be computed with it."""

    convolution: nn.Conv2d
    last: fx.Node
    """Whose result the run has."""
    weight: Tensor
    bias: Tensor | None
    activation: type[nn.Module] = nn.Identity


def _rewrite(part: nn.Module) -> nn.Module:
    graph = _Tracer().trace(part)
    made = fx.GraphModule(part, graph)
    modules = dict(made.named_modules())
    for number, (node, run) in enumerate(_runs(graph, modules)):
        name = f"fused_{number}"
        made.add_submodule(name, _Fused(run))
        with graph.inserting_after(run.last):
            run.last.replace_all_uses_with(graph.call_module(name, (node.args[0],)))
    graph.eliminate_dead_code()
    made.delete_all_unused_submodules()
    made.recompile()
    return made


def _runs(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> Iterator[tuple[fx.Node, _Run]]:
    for node in list(graph.nodes):
        convolution = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d) and _padding(convolution) is not None:
            yield node, _take(_Run(convolution, node, convolution.weight.detach(), convolution.bias), modules)


def _take(run: _Run, modules: Mapping[str, nn.Module]) -> _Run:
    """Follow the only user of each result, as long as the convolution can do its work."""
    normalised = False
    while run.activation is nn.Identity and len(run.last.users) == 1:
        user = next(iter(run.last.users))
        module = modules.get(str(user.target)) if user.op == "call_module" else None
        if isinstance(module, nn.BatchNorm2d) and not normalised and module.running_mean is not None:
            # timm's kind has the activation in it.
            own = getattr(module, "act", None)
            kind: type[nn.Module] = type(own) if isinstance(own, nn.Module) else nn.Identity
            if kind not in _ACTIVATIONS:
                return run
            mean, variance = module.running_mean, module.running_var
            folded = fuse_conv_bn_weights(run.weight, run.bias, mean, variance, module.eps, module.weight, module.bias)  # type: ignore[arg-type]
            run, normalised = replace(run, last=user, weight=folded[0].detach(), bias=folded[1].detach(), activation=kind), True
        elif module is not None and type(module) in _ACTIVATIONS:
            run = replace(run, last=user, activation=type(module))
        elif user.op == "call_function" and user.target in _FUNCTIONS:
            run = replace(run, last=user, activation=_FUNCTIONS[user.target])  # type: ignore[index]
        else:
            break
    return run


def _padding(convolution: nn.Conv2d) -> list[int] | None:
    """Return the padding of both sides; None for what is not known here.

    TensorFlow's padding "same" puts more at the end than at the beginning. Where a side is even (ours are multiples of 32) and
    the step 2, it is the padding of both sides by the larger number, and a kernel that begins with a row and column of zeros.
    """
    if type(convolution) is Conv2dSame:
        kernel, step = convolution.kernel_size, convolution.stride
        known = len(set(step)) == 1 and step[0] in (1, 2) and set(convolution.dilation) == {1} and all(k % 2 for k in kernel)
        return [k // 2 for k in kernel] if known else None
    if type(convolution) is nn.Conv2d and convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str):
        return list(convolution.padding)
    return None


class _Fused(nn.Module):
    """A convolution, normalised and activated."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        convolution, weight = run.convolution, run.weight
        self.padding = _padding(convolution)
        if type(convolution) is Conv2dSame and convolution.stride[0] == 2:
            weight = functional.pad(weight, (1, 0, 1, 0))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = None if run.bias is None else nn.Parameter(run.bias.detach(), requires_grad=False)
        self.how = (self.padding, list(convolution.stride), list(convolution.dilation), convolution.groups)
        self.activation = _ACTIVATIONS[run.activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.how, *self.activation, "")
        return result
