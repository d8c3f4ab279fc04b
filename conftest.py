"""What holds for tests and for chapters alike."""

import nbval_numbers

nbval_numbers.install()
