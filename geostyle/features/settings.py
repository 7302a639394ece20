"""Names that settings offer for feature networks, and the colors that all of them expect."""

from __future__ import annotations

NETWORKS = ("lite", "vgg19", "vgg16")
PADDINGS = ("zeros", "reflect", "replicate", "circular")
# Mean and deviation of ImageNet's colors, to which pictures are normalized.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
