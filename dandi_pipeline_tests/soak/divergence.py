"""What a history ends with in which a promise is broken."""


class Divergence(AssertionError):
    """The mirror is not what it is promised to be."""
