"""Timings as ratios against named peers in one run, and the computation of frozen tolerances."""
