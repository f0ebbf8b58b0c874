"""Heads: what the outputs of a network mean, and the loss by which they are trained. A file is a head.

A part of this folder provides as `PART` an object of a class that derives from `Head` (`_head.py`). Other distributions add
heads by the entry point `veribayes.head`.
"""
