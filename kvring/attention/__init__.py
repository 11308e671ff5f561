"""Attention that reads the ring in place.

`attending` is the way in, `checks` what it asks of its arguments, `kernel` and `tiles` the pass
over the rows, `workers` its threads; `merge` puts partial results together.
"""
