"""Tests with measured size and power; each plain module is a part and defines `PART`,
and `_measure` prints the tables.
"""
