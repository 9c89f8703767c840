"""Variables larger than memory, gone through block by block.

``iterating`` gives blocks and ``grouping`` those of a label or of the calendar, ``mapping`` hands them to workers, and
``rechunking`` gives variables in other chunks, as ``planning`` says what is read when.
"""
