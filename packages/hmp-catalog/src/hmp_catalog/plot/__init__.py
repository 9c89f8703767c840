"""Quick looks at runs, groups and calibrations (extra ``[plot]``): drawn with matplotlib, which nothing else imports.

Everything here takes and returns matplotlib axes, so that a figure can be finished by whoever needs it for a paper.
"""
