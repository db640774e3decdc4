"""A log larger than memory: its entities dealt out into buckets on disk, each of which is asked by itself.

What concerns one entity is decided by its own changes, so a bucket that holds all of them answers as the whole log
would. What the whole log decides (fields and their types, changes of keys, coverage) is found out beforehand, over all
buckets, and told to each of them.
"""
