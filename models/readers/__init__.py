"""Readers of model files, one format a file:
text is parsed by its grammar, and nothing in it is executed.
"""
