"""Scaling laws: forms, printed values, fits, isoFLOP surfaces, uncertainty and optima. Reads no files."""
