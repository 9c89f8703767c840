"""The verbs of ``hmp data``, by what one wants: ask, obtain, keep, let go or bring back, carry."""
