"""Tokens: how a network reads the data of a family. A file is a layout of tokens, and its name stands in a model's layout.

A part of this folder provides as `PART` an object of a class that derives from `Tokens` (`_tokens.py`). Other distributions
add layouts by the entry point `veribayes.tokens`. Cards call the layout `family`.
"""
