"""Transformers that theory writes down weight by weight: real layers, float64, nothing trained.

A part builds its network from a task. It is a frozen dataclass of options whose call turns the task
into a candidate, (context, query) in NumPy -> one predictive form in NumPy float64. Weights that
depend on the length of the context are written for that length when a context of that length comes.
"""
