"""Readings of a log: its documents read otherwise than recorded, through renames and upcasters."""
