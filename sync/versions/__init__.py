"""Versions of the settings: compare two of them object by object, choose, and bring the choice to the primary.

    objects.py    the rows of a version as things with a name: accounts, groups, files
    compare.py    which of them differ, and in which fields (pure)
    merge.py      what has to be written so that one version takes over chosen things of the other (pure)
    shown.py      values as people read them; secrets never
    primary.py    the settings of the peer, read and changed by signed messages; the same change made here
    choose.py     the two versions of a page, and what its button does
    waiting.py    how many things differ while a superseded primary waits

A version is the settings of this appliance, those of its peer, or a configuration backup (`datasync/backups.py`).
"""
