"""Architectures: networks that answer queries from a context. A file is an architecture.

A part of this folder provides as `PART` an `Architecture` (`_architecture.py`). Recipes and cards name it by the key
`architecture`; without the key it is `network`. Other distributions add architectures by the entry point
`veribayes.architecture`.
"""
