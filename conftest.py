"""Settings shared by tests and chapters."""

import nbval_numbers

nbval_numbers.install()
