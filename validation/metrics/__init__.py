"""Divergences of a candidate's predictive from the reference's;
each plain module is a part and defines `PART`.
"""
