"""Encoders, the siamese network, training, bundles and streamed inference: everything that needs PyTorch.

This is the one import with a side effect, because it has to come before the first import of torchvision, which timm,
torchgeo, segmentation_models_pytorch and lightning all make.
"""

from landshift.models.torchvision_operators import declare_missing_operators

declare_missing_operators()
