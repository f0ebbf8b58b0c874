"""Networks that learn to predict in context: architecture, training, checkpoints, and adapters that make them candidates."""
