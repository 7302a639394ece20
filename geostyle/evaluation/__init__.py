"""Benchmarks: warps against known ones and keypoints, feature networks against VGG-19."""
