"""Captions found, regions matched to them, mentions collected, crops rendered."""
