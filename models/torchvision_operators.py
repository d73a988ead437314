"""Let a CUDA build of torchvision be imported beside a CPU build of PyTorch.

The package index holds CPU wheels of PyTorch in some places, but only CUDA wheels of torchvision for Linux on x86-64.
Their compiled operators cannot be loaded without the CUDA runtime, and `import torchvision` then stops at the line that
describes `torchvision::nms`. Landshift uses none of these operators (they serve object detection), so it is enough to
declare the two that torchvision describes.
"""

import importlib.util
from pathlib import Path

import torch

_SUPPRESSION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_SCHEMAS = tuple(f"{name}{_SUPPRESSION}" for name in ("nms", "qnms"))


def declare_missing_operators() -> bool:
    """Declare torchvision's operators when its compiled library cannot be loaded.

    Does nothing where the library loads, so a matching torchvision keeps its real operators.

    Returns:
        True if the operators had to be declared.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or hasattr(torch.ops.torchvision, "nms"):
        return False
    library = next(Path(spec.origin).parent.glob("_C*.so"), None)
    if library is not None:
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except OSError:
            pass
        else:
            return False
    for schema in _SCHEMAS:
        torch.library.define(f"torchvision::{schema.partition('(')[0]}", "(" + schema.partition("(")[2])
    return True
