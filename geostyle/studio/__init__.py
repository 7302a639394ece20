"""The studio: a page on this machine where a warp is dragged and a painting is watched.

The server (`app`, `guard`, `sessions`, `hub`) reads no picture and loads no network. One worker
process (`worker`) does: it decodes, matches, warps and paints. They talk through a pipe.
"""
