"""The learned parts: what they know is a theta, learned from an archive; what they do is a function of it and of the history."""
