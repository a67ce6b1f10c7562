"""The review page's server: a local web application over the desk, and what keeps strangers out of it.

It decides nothing about masks: every question goes to the desk of `infarct_vol.review`.
"""
