"""Random worlds: edits upstream, syncs, faults, kills and concurrent syncs, in any order, from a seed."""
