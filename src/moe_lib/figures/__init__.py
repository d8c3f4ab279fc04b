"""Every figure of the book: one function each, takes tables and laws, returns a matplotlib figure."""
