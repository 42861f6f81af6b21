"""Training data: footage packed once, windows of it, photographs set in motion, published layouts; all give `Batch`."""
