"""Sections of a run's entry: each a value that is computed once, with `entry()` as plain data for
the JSON.
"""
