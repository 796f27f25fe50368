"""The errors this package raises on purpose: each speaks to the user."""


class UserError(Exception):
    """Something the user can put right: what is wrong, where (file, utterance, key), and what to do.

    A stage prints its message as one sentence and exits with status 1; no traceback.
    """


class Unreadable(UserError):
    """One input (a file, a modality of one utterance) that cannot be read.

    Raised by readers and encoders; extraction catches it, quarantines that input with the message as
    its reason and goes on.
    """
