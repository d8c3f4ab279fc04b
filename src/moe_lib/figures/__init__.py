"""The book's figures: one function per figure takes tables and laws and returns a matplotlib figure."""
