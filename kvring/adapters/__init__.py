"""Bridges to other libraries, each behind an extra of its own: nothing here is loaded unasked.

- :mod:`kvring.adapters.transformers`: a cache for ``generate`` of Hugging Face transformers.
"""
