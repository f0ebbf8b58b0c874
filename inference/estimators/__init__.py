"""What theory and practice do instead of Bayes:
maximum likelihood, descent steps, n-grams, other priors.
"""
