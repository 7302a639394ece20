"""geostyle: geometric style transfer."""
