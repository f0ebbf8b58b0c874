"""Networks that learn to predict in context: architecture, training, checkpoints, and adapters that
make them candidates.

    tokens/         how a network reads the data of a family
    architectures/  what it computes
    heads/          what its outputs mean, and the loss
    constructions/  networks that theory writes down, nothing trained
    checkpoints/    networks that are shipped

The frame: a recipe (`_recipe`) and a step make a batch (`_batches`), and a run (`_run`) learns
from it by a loss (`_losses`), in a loop that may be stopped anywhere (`_training`). It ends in a
card and weights (`_checkpoint`), which are a candidate (`_candidates`).
"""
