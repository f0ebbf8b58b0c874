"""Claims of the literature, a file a paper:
each is a sentence, how it is measured, and what is expected of it.
"""
