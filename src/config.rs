//! What the rest of the program may rely on: the herd and the options, checked once.
