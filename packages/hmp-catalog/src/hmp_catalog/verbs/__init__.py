"""The verbs of ``hmp catalog``, by what one wants: ask, record, calibrate, keep, carry."""
