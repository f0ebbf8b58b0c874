"""Planted defects: an exact engine spoiled in one stated way, to show what finds it."""
