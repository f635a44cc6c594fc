"""Asks the mirror: the questions that people have of an archive, as SQL that both databases take."""
